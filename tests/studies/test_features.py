"""``tokdyn run``: features from files, results in a folder, one sentence for everything that is wrong."""

import itertools
import json
import os

import jax
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.metrics import adjusted_rand_score, confusion_matrix, normalized_mutual_info_score

import tokdyn as td
from tokdyn.studies.features import Options, cluster_file

IRIS = load_iris()


NAMES = ["sepal length", "sepal width", "petal length", "petal width"]


@pytest.fixture
def iris(tmp_path):
    np.save(tmp_path / "iris.npy", IRIS.data)
    return tmp_path / "iris.npy"


@pytest.fixture
def flowers(tmp_path):
    """As a spreadsheet would save it: an id in another order, names, decimal commas, text in the last column."""
    frame = pd.DataFrame(IRIS.data, columns=NAMES)
    frame.insert(0, "flower_id", 1000 - np.arange(150))
    frame["species"] = IRIS.target_names[IRIS.target]
    frame.to_csv(tmp_path / "flowers.csv", sep=";", decimal=",", index=False, encoding="utf-8-sig")
    return tmp_path / "flowers.csv"


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
        from tokdyn.solve import trajectory
        from tokdyn.solve.starts import best_of

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

    def test_ids_names_and_labels_go_where_people_look(self, flowers, iris, tmp_path):
        said = []
        options = Options(num_tokens=3, temperature=0.2, labels="species")
        report = cluster_file(flowers, options, tmp_path / "out", plots=False, say=said.append).read_text()
        assert len(said) == 1
        assert said[0].startswith("Column 'flower_id' is called an id")
        assert said[0] in report
        table = pd.read_csv(tmp_path / "out" / "assignments.csv")
        assert list(table)[:4] == ["flower_id", "feature", "token", "label"]
        np.testing.assert_array_equal(table["flower_id"], 1000 - np.arange(150))
        np.testing.assert_array_equal(table["label"], IRIS.target_names[IRIS.target])
        tokens = pd.read_csv(tmp_path / "out" / "tokens.csv", index_col="token")
        assert list(tokens) == NAMES
        diagnostics = json.loads((tmp_path / "out" / "diagnostics.json").read_text())
        assert diagnostics["read"]["columns"] == NAMES
        assert diagnostics["num_labels"] == 3
        truth, owner = IRIS.target, table["token"]
        rand, information = adjusted_rand_score(truth, owner), normalized_mutual_info_score(truth, owner)
        assert diagnostics["adjusted_rand_index"] == pytest.approx(rand, abs=1e-12)
        assert diagnostics["normalized_mutual_information"] == pytest.approx(information, abs=1e-9)
        counts = confusion_matrix(truth, owner)
        best = max(counts[[0, 1, 2], list(order)].sum() for order in itertools.permutations(range(3)))
        assert diagnostics["matched_accuracy"] == pytest.approx(best / 150)
        assert f"adjusted Rand index {rand:.3f}" in report
        # The same features as an array, whose columns have no names, end in the same tokens.
        cluster_file(iris, Options(num_tokens=3, temperature=0.2), tmp_path / "array", plots=False)
        again = pd.read_csv(tmp_path / "array" / "tokens.csv", index_col="token")
        assert list(again) == ["x1", "x2", "x3", "x4"]
        np.testing.assert_array_equal(again, tokens)

    def test_standardised_tokens_come_back_in_the_units_of_the_file(self, tmp_path):
        """Units of measurement then decide nothing: metres or micrometres, and a constant column beside them."""
        scaled = IRIS.data * [1, 1e6, 1e-3, 1] + [0, 5e6, 0, 7]
        found = []
        for name, values in (("plain", IRIS.data), ("units", scaled)):
            frame = pd.DataFrame(values, columns=NAMES).assign(constant=0.1)
            frame.to_csv(tmp_path / f"{name}.csv", index=False)
            said = []
            options = Options(num_tokens=3, temperature=0.1, standardise=True)
            report = cluster_file(tmp_path / f"{name}.csv", options, tmp_path / name, plots=False, say=said.append)
            assert said == ["Constant, so that it stays 0 when standardised and decides nothing: 'constant'."]
            assert "mean 0 and standard deviation 1" in report.read_text()
            found.append(pd.read_csv(tmp_path / name / "tokens.csv", index_col="token"))
        np.testing.assert_allclose((found[0][NAMES] * [1, 1e6, 1e-3, 1] + [0, 5e6, 0, 7]), found[1][NAMES], rtol=1e-6)
        np.testing.assert_allclose(found[1]["constant"], 0.1)
        inside = (found[0][NAMES] >= IRIS.data.min(axis=0)) & (found[0][NAMES] <= IRIS.data.max(axis=0))
        assert inside.all(axis=None)

    def test_large_features_say_which_starts_are_done_and_give_the_same(self):
        """Once a start is a call of its own, and once all are one: the same best start, to rounding."""
        from tokdyn.solve.starts import ALONE, best_of

        features = np.tile(IRIS.data.astype(np.float32), (40, 1))
        assert len(features) * 8 * 4 > ALONE
        features += np.random.default_rng(0).normal(0, 0.05, features.shape).astype(np.float32)
        how = {"num_tokens": 8, "num_starts": 4, "max_steps": 20, "tol": 1e-3, "seed": 1}
        dynamics, done = td.catalog.soft_kmeans(), []
        one, error, key = best_of(dynamics, features, **how, progress=lambda *counts: done.append(counts))
        assert done == [(n, 4) for n in range(5)]
        all_at_once, same_error, same_key = best_of(dynamics, features, **how)
        assert error == pytest.approx(same_error, rel=1e-5)
        assert (jax.random.key_data(key) == jax.random.key_data(same_key)).all()
        np.testing.assert_allclose(one.tokens, all_at_once.tokens, atol=1e-3)

    def test_silhouette_of_many_numbers_is_that_of_a_sample(self, iris, tmp_path, monkeypatch):
        """All pairs of a few thousand features of many dimensions would take longer than the runs."""
        options, found = Options(num_tokens=3, temperature=0.2), []
        for most in (1e9, 4 * 99.5**2):
            monkeypatch.setattr("tokdyn.studies.features.MOST_DIFFERENCES", most)
            cluster_file(iris, options, tmp_path / "out", plots=False)
            found.append(json.loads((tmp_path / "out" / "diagnostics.json").read_text()))
        assert "features_for_silhouette" not in found[0]
        assert found[1]["features_for_silhouette"] == 100
        # Single silhouettes have a standard deviation of about 0.3.
        assert found[0]["silhouette"] == pytest.approx(found[1]["silhouette"], abs=3 * 0.3 / 10)


class TestPlace:
    """What is wrong with the folder is said before anything is read or computed."""

    @pytest.fixture(autouse=True)
    def nothing_is_computed(self, monkeypatch):
        monkeypatch.setattr("tokdyn.studies.features.best_of", lambda *_, **__: pytest.fail("computed"))

    def test_a_file(self, iris, tmp_path):
        for out in (iris, iris / "below"):
            with pytest.raises(
                ValueError, match=r"out: expected a folder that can be written, got .* is not a folder\)"
            ):
                cluster_file(iris, Options(num_tokens=3), out)

    @pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="who may do everything is refused nothing")
    def test_no_permission(self, iris, tmp_path):
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(ValueError, match=r"out: expected a folder that can be written, got .*no permission"):
            cluster_file(iris, Options(num_tokens=3), tmp_path / "closed" / "out")

    def test_something_in_the_way(self, iris, tmp_path):
        (tmp_path / "one" / "report.md").mkdir(parents=True)
        (tmp_path / "two").mkdir()
        (tmp_path / "two" / "plots").write_text("mine")
        for out, blocked in (("one", "report.md"), ("two", "plots")):
            sentence = f"out: expected a folder in which the results find room, got .*{blocked}, which is in the way"
            with pytest.raises(ValueError, match=sentence):
                cluster_file(iris, Options(num_tokens=3), tmp_path / out)

    def test_the_features_themselves(self, tmp_path):
        pd.DataFrame(IRIS.data).to_csv(tmp_path / "tokens.csv", index=False)
        with pytest.raises(ValueError, match="out: expected a folder in which no result takes the place of the file"):
            cluster_file(tmp_path / "tokens.csv", Options(num_tokens=3), tmp_path)
