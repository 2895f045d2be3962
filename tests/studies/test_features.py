"""``tokdyn run``: features from files, results in a folder, one sentence for everything that is wrong."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.metrics import adjusted_rand_score

import tokdyn as td
from tokdyn.studies.features import Options, cluster_file, read_features

IRIS = load_iris()


@pytest.fixture
def iris(tmp_path):
    np.save(tmp_path / "iris.npy", IRIS.data)
    return tmp_path / "iris.npy"


class TestReading:
    def test_every_format_gives_the_same(self, tmp_path, iris):
        names = list("abcd")
        table = pd.DataFrame(IRIS.data, columns=names)
        np.savez(tmp_path / "one.npz", x=IRIS.data)
        np.savez(tmp_path / "named.npz", features=IRIS.data, labels=IRIS.target)
        table.to_csv(tmp_path / "header.csv", index=False)
        table.to_csv(tmp_path / "bare.csv", index=False, header=False)
        pd.DataFrame(IRIS.data).to_csv(tmp_path / "counted.csv", index=False)
        table.to_parquet(tmp_path / "table.parquet")
        for name in ("iris.npy", "one.npz", "named.npz", "header.csv", "bare.csv", "counted.csv", "table.parquet"):
            np.testing.assert_allclose(read_features(tmp_path / name), IRIS.data, err_msg=name)

    def test_integers_and_single_columns_are_numbers_too(self, tmp_path):
        np.save(tmp_path / "x.npy", np.arange(6).reshape(6, 1))
        assert read_features(tmp_path / "x.npy").dtype == np.float64

    @pytest.mark.parametrize(
        ("make", "sentence"),
        [
            (None, r"file: expected a file of features, got .*x.npy \(no such file\)"),
            (np.ones(5), r"expected at least one row and one column of numbers \[N, D\], got shape \(5,\)"),
            (np.ones((2, 3, 4)), r"got shape \(2, 3, 4\)"),
            (np.ones((0, 4)), r"got shape \(0, 4\)"),
            (np.array([[{}, 1]], dtype=object), "an array of Python objects"),
            (np.array([["a", "b"]]), "file: expected numbers .* got dtype <U1"),
            (np.ones((2, 2)) * 1j, "file: expected numbers .* got dtype complex128"),
            (np.array([[1.0, np.nan]]), "file: expected finite numbers, got nan in row 0, column 1"),
            (np.array([[np.inf, 1.0]]), "file: expected finite numbers, got inf in row 0, column 0"),
        ],
    )
    def test_bad_arrays(self, tmp_path, make, sentence):
        if make is not None:
            np.save(tmp_path / "x.npy", make, allow_pickle=True)
        with pytest.raises(ValueError, match=sentence):
            read_features(tmp_path / "x.npy")

    @pytest.mark.parametrize(
        ("name", "content", "sentence"),
        [
            ("x.csv", b"", r"file: expected readable .csv features, got x.csv \(No columns to parse from file\)"),
            ("x.csv", b"a,b\n1,2\n3,x\n", "file: expected numbers"),
            ("x.csv", b"a,b\n1,2\n3,\n", "file: expected finite numbers, got nan in row 1, column 1"),
            ("x.csv", b"\xff\xfe\x00", "file: expected readable .csv features"),
            (
                "x.csv",
                b"id,a,b\n0,1,2\n1,3,4\n2,5,7\n",
                "file: expected features only, got a first column in x.csv that counts",
            ),
            ("x.npz", b"PK\x03\x04 cut off", "file: expected readable .npz features"),
            ("x.npy", b"nonsense", "file: expected readable .npy features"),
            ("x.npz", b"nonsense", "file: expected readable .npz features"),
            ("x.parquet", b"nonsense", "file: expected readable .parquet features"),
            ("x.xlsx", b"", "file: expected one of .npy, .npz, .csv, .parquet, got x.xlsx"),
        ],
    )
    def test_bad_files(self, tmp_path, name, content, sentence):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=sentence):
            read_features(tmp_path / name)

    def test_an_archive_of_several_arrays_must_say_which(self, tmp_path):
        np.savez(tmp_path / "x.npz", a=IRIS.data, b=IRIS.target)
        with pytest.raises(ValueError, match=r"file: expected one array, or one named features, got 2 in x.npz: a, b"):
            read_features(tmp_path / "x.npz")


class TestRunning:
    def test_writes_what_it_says(self, iris, tmp_path):
        report = cluster_file(iris, Options(num_tokens=3, temperature=0.2), tmp_path / "out")
        table = pd.read_csv(tmp_path / "out" / "assignments.csv")
        assert list(table) == ["feature", "token", "token_0", "token_1", "token_2"]
        np.testing.assert_allclose(table[["token_0", "token_1", "token_2"]].sum(axis=1), 1.0)
        assert adjusted_rand_score(IRIS.target, table["token"]) > 0.6  # k-means gives 0.73
        diagnostics = json.loads((tmp_path / "out" / "diagnostics.json").read_text())
        tokens = pd.read_csv(tmp_path / "out" / "tokens.csv", index_col="token").to_numpy()
        assert diagnostics["sse"] == pytest.approx(((IRIS.data - tokens[table["token"]]) ** 2).sum(), rel=1e-9)
        assert diagnostics["status"] == "CONVERGED"
        assert {p.name for p in (tmp_path / "out" / "plots").iterdir()} == {"tokens.png", "convergence.png"}
        assert "150 features of 4 dimensions" in report.read_text()

    def test_the_drawn_path_is_the_run(self, iris, tmp_path):
        """The figure's trajectory is recomputed from the key of the best start: its end must be the tokens."""
        from tokdyn.estimator import best_of
        from tokdyn.solve import trajectory

        dynamics = td.catalog.soft_kmeans()
        features = IRIS.data.astype(np.float32)
        result, _, key = best_of(dynamics, features, num_tokens=3, num_starts=5, max_steps=200, tol=1e-3, seed=3)
        state, _ = trajectory(dynamics, key, features, num_tokens=3, num_steps=int(result.num_steps))
        np.testing.assert_allclose(state.tokens, result.tokens, atol=1e-4)

    def test_merged_tokens_are_said(self, iris, tmp_path):
        text = cluster_file(iris, Options(num_tokens=4, temperature=100.0), tmp_path / "out", plots=False).read_text()
        assert "Only 1 tokens are distinct at resolution 0.1" in text

    def test_the_temperature_is_automatic_and_said(self, iris, tmp_path):
        text = cluster_file(iris, Options(num_tokens=3), tmp_path / "out", plots=False).read_text()
        expected = td.theory.automatic_temperature(IRIS.data, num_tokens=3)
        assert f"| attract.temperature | {expected:g} |" in text
        assert "not to be relied on" not in text
        told = json.loads((tmp_path / "out" / "diagnostics.json").read_text())
        assert told["dynamics"]["attract.temperature"] == pytest.approx(expected)
        assert (told["options"]["temperature"], told["warnings"]) == ("auto", [])
        assert told["distinct_tokens"]["0.1"] == 3

    def test_a_worthless_answer_is_said_at_the_head(self, iris, tmp_path):
        options = Options(num_tokens=4, temperature=100.0)
        text = cluster_file(iris, options, tmp_path / "out", plots=False).read_text()
        title, summary, warning, *_ = text.split("\n\n")
        assert title == "# Token dynamics on iris.npy"
        assert summary.endswith("steps, not to be relied on (see the warning).")
        automatic = td.theory.automatic_temperature(IRIS.data, num_tokens=4)
        assert warning.startswith("**Warning.** Temperature 100 is")
        assert warning.endswith(f"use about {automatic:.3g}, the automatic temperature.")
        told = json.loads((tmp_path / "out" / "diagnostics.json").read_text())
        assert told["warnings"] == [warning.removeprefix("**Warning.** ")]

    def test_a_saved_dynamics_is_used(self, iris, tmp_path):
        path = td.save(td.catalog.soft_kmeans(temperature=0.123), tmp_path / "mine")
        text = cluster_file(iris, Options(num_tokens=2, dynamics=path), tmp_path / "out", plots=False).read_text()
        assert "| attract.temperature | 0.123 |" in text

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            (Options(num_tokens=151), "num_tokens: expected at most the number of features, 150, got 151"),
            (Options(num_tokens=0), "num_tokens: expected a static integer of at least 1, got 0"),
            (Options(num_tokens=3, temperature=-1.0), "temperature: expected a number of at least 0, got -1.0"),
            (Options(num_tokens=3, tol=-1.0), "tol: expected a number of at least 0, got -1.0"),
            (Options(num_tokens=3, num_starts=0), "num_starts: expected a static integer of at least 1, got 0"),
            (Options(num_tokens=3, momentum=1e9), "dynamics: expected one whose tokens stay finite"),
        ],
    )
    def test_bad_options_leave_nothing_behind(self, iris, tmp_path, options, sentence):
        with pytest.raises(ValueError, match=sentence):
            cluster_file(iris, options, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_huge_values_are_refused_before_they_overflow(self, tmp_path):
        np.save(tmp_path / "x.npy", np.array([[1e200, 0.0], [0.0, 1.0]]))
        with pytest.raises(
            ValueError, match=r"file: expected numbers up to 1e\+150 in size \(in float64\), got 1e\+200"
        ):
            cluster_file(tmp_path / "x.npy", Options(num_tokens=1), tmp_path / "out")
