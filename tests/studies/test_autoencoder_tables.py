"""Tables A to F of the earlier prototype: the design, the verdicts, a tiny run, and (slow) everything."""

import collections
import dataclasses
import json
import math

import jax
import numpy as np
import pandas as pd
import pytest
import test_autoencoder_study

from tokdyn.studies import autoencoder, output
from tokdyn.studies.autoencoder import experiment, tables

NOTEBOOK, SANE = "notebook's start", "sane start"
DOUBLE, PLAIN = "double softmax", "cross-entropy"
WORDS = 30  # of the tiny run


class TestDesign:
    def test_it_has_every_cell_that_the_prototype_printed(self):
        cells = tables.cells()
        counts = collections.Counter(cell.table for cell in cells)
        assert counts == {"A": 14, "B": 24, "C": 23, "D": 7, "E": 7, "F": 12}
        assert len({(cell.table, cell.name) for cell in cells}) == len(cells)
        assert set(tables.TITLES) == set(counts)
        for cell in cells:
            assert cell.prototype
            assert set(cell.prototype) <= set(tables.MEASURES)
            assert set(cell.changes) <= set(tables.NUMBERS)

    def test_cells_that_differ_in_numbers_share_a_program(self):
        assert len({cell.setup for cell in tables.cells()}) == 31
        shared = {cell.table for cell in tables.cells() if cell.setup == tables.Setup()}
        assert shared == {"B", "C", "E", "F"}

    def test_the_starts_are_those_of_the_notes(self):
        """Xavier's weights and vectors of 0.02; vectors of 1 and a last layer of 1.5 / sqrt(256)."""
        notebook = {**tables.NUMBERS, **tables.NOTEBOOK}
        assert (notebook["embedding_std"], notebook["hidden_gain"], notebook["decoder_gain"]) == (0.02, 1, 1)
        assert notebook["output_std"] == pytest.approx(math.sqrt(2 / (256 + 320)), rel=0.01)
        assert notebook["output_bias"] == 0
        sane = tables.NUMBERS
        assert (sane["embedding_std"], sane["output_bias"], sane["learning_rate"]) == (1, 0, 1e-3)
        assert sane["output_std"] == pytest.approx(1.5 / math.sqrt(256), rel=0.01)
        assert sane["hidden_gain"] == sane["decoder_gain"] == pytest.approx(math.sqrt(2))

    @pytest.mark.parametrize(
        ("decoder", "widths"),
        [
            ("linear", {(320, 192)}),
            ("dense", {(320, 256), (256, 256), (256, 192)}),
            ("convolutional", {(3, 3, 5, 32), (3, 3, 32, 64), (64 * 64, 256), (256, 192)}),
            ("mean", {(3, 3, 5, 32), (3, 3, 32, 64), (64, 192)}),
        ],
    )
    def test_layers_are_those_of_the_notes(self, decoder, widths):
        params = self.shapes(tables.Setup(decoder=decoder))
        assert params["encoder"] == {(192, 128), (128, 256), (256, 256), (256, 320)}
        assert params["decoder"] == widths

    def test_five_levels_are_one_number_a_cell(self):
        params = self.shapes(tables.Setup(bottleneck="levels", decoder="linear"))
        assert (256, 64) in params["encoder"]
        assert params["decoder"] == {(64, 192)}

    @staticmethod
    def shapes(setup):
        made = jax.eval_shape(tables.model_of(setup, dict(tables.NUMBERS)).init, jax.random.key(0))["params"]
        return {
            name: {leaf.shape for leaf in jax.tree.leaves(made[name]) if leaf.ndim > 1}
            for name in ("encoder", "decoder")
        }

    def test_bad_input(self):
        with pytest.raises(ValueError, match="tables: expected one of 'A', .*'F', got 'G'"):
            tables.cells(("G",))
        with pytest.raises(ValueError, match="seeds: expected a static integer of at least 1, got 0"):
            tables.run_tables(("E",), seeds=0)


class TestVerdict:
    @pytest.mark.parametrize(
        ("printed", "ours", "expected"),
        [
            (0.606, [0.5, 0.7], tables.INSIDE),
            (0.606, [0.6064, 0.7], tables.INSIDE),  # printed so
            (0.606, [0.6066, 0.7], "differs: right by +0.0473"),
            (1.0, [0.9, 0.99], "differs: right by -0.055"),
        ],
    )
    def test_of_shares(self, printed, ours, expected):
        assert tables.verdict(tables._shares(printed), {"right": np.array(ours)}) == expected

    @pytest.mark.parametrize(
        ("ours", "expected"),
        [
            ([20, 40], tables.INSIDE),
            ([20, 60], "differs: first by +0"),  # not all are in the range
            ([40, np.inf], "differs: first (never in 1 of 2)"),
        ],
    )
    def test_of_steps(self, ours, expected):
        assert tables.verdict(tables._first(20, 40), {"first": np.array(ours, float)}) == expected

    def test_of_what_never_happens(self):
        assert tables.verdict(tables._NEVER, {"first": np.array([np.inf, np.inf])}) == tables.INSIDE
        assert tables.verdict(tables._NEVER, {"first": np.array([np.inf, 80])}) == "differs: first (never in 1 of 2)"

    def test_every_number_counts(self):
        values = {"right": np.array([0.005, 0.005]), "dominant": np.array([0.5, 0.7]), "distinct": np.array([3.0, 5.0])}
        found = tables.verdict(tables._COLLAPSED, values)
        assert found == "differs: dominant by -0.4, distinct by +3"


@pytest.fixture(scope="module")
def ran():
    """A table of three cells with one program, beside a study's Dataset of its usual shape."""

    def few():
        changes = {
            "quick": {"steps": 40.0, "learning_rate": 3e-3, "stop_at": 1.0},
            "short": {"steps": 20.0},
            "collapsed": {"steps": 40.0, "learning_rate": 0.0},
        }
        setup = tables.Setup(WORDS, decoder="linear")
        return [tables.Cell("E", name, setup, numbers, 2, tables._shares(1.0)) for name, numbers in changes.items()]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "TABLES", {"E": few})
        patch.setattr(tables.run_tables, "__defaults__", (("E",),))
        patch.setattr(tables.num_runs, "__defaults__", (("E",),))
        config = autoencoder.Config(seeds=2, tables=True)
        study_s_own = test_autoencoder_study.TestReport.pretended()
        study_s_own.attrs["config"] = json.dumps(dataclasses.asdict(autoencoder.Config(tables=True)))
        seen = []
        dataset = experiment._with_tables(study_s_own, config, lambda *numbers: seen.append(numbers))
    return dataset, seen


class TestRun:
    def test_a_row_for_each_cell_and_seed(self, ran):
        frame = tables.as_frame(ran[0])
        assert frame[["table", "cell", "seed"]].values.tolist() == [
            ["E", cell, seed] for cell in ("quick", "short", "collapsed") for seed in (0, 1)
        ]
        assert ran[1] == [(6, 6)]

    def test_measures_say_the_same(self, ran):
        frame = tables.as_frame(ran[0]).set_index("cell")
        quick = frame.loc["quick"]
        np.testing.assert_allclose(quick["right"], 1)
        np.testing.assert_allclose(quick["dominant"], 1 / WORDS, rtol=1e-6)
        assert quick["distinct"].eq(WORDS).all()
        assert quick["first"].isin([20, 40]).all()
        assert quick["verdict"].eq(tables.INSIDE).all()
        untrained = frame.loc["collapsed"]
        assert (untrained["right"] < 0.3).all()
        assert np.isinf(untrained["first"]).all()
        assert untrained["verdict"].str.startswith("differs: right by -").all()
        # Pigeonholes: n predictions of d kinds.
        assert (frame["dominant"] >= 1 / frame["distinct"] - 1e-6).all()
        assert (frame["right"] <= frame["distinct"] / WORDS + 1e-6).all()

    def test_the_default_runs_none(self):
        assert not autoencoder.Config().tables
        assert tables.as_frame(test_autoencoder_study.TestReport.pretended()).empty


class TestReport:
    def test_the_folder(self, ran, tmp_path):
        """Findings rest on the default conditions, which tables leave as they are."""
        dataset = ran[0]
        text = autoencoder.report(dataset, tmp_path, plots=False, wall_seconds=1.0).read_text()
        section = text.split("## Tables A to F")[1].split("\n## ")[0]
        assert "2 of 3 cells are inside" in section
        assert "| quick | 1.000 | right 1.000 | inside our spread |" in section
        assert "## Claim by claim" in text
        frame = pd.read_csv(tmp_path / "tables.csv")
        assert list(frame) == list(tables.as_frame(dataset))
        assert frame["cell"].tolist() == tables.as_frame(dataset)["cell"].tolist()
        metadata = json.loads((tmp_path / "metadata.json").read_text())
        assert output.config_from(autoencoder.Config, metadata["config"]).tables


@pytest.mark.slow
class TestEverything:
    """All tables, two seeds of each cell: what must hold whatever the last digits are. A quarter of an hour."""

    @pytest.fixture(scope="class")
    @staticmethod
    def frame():
        return tables.run_tables(seeds=2)

    @pytest.fixture(scope="class")
    @staticmethod
    def right(frame):
        """Means over seeds."""
        return frame.groupby(["table", "cell"])["right"].mean()

    def test_both_faults_collapse_where_frequencies_are_skewed(self, frame):
        both = frame[frame["table"].isin(["A", "D"]) & frame["cell"].str.endswith(f"{NOTEBOOK}, {DOUBLE}")]
        assert len(both) == (3 + 2) * 2
        assert (both["right"] < 0.01).all()
        assert (both["dominant"] > 0.99).all()
        assert (both["distinct"] <= 2).all()

    def test_and_not_where_every_word_is_shown_equally_often(self, frame):
        both = frame[(frame["table"] == "B") & frame["cell"].str.endswith(f"{NOTEBOOK}, {DOUBLE}")]
        trained = both[~both["cell"].str.startswith("categorical")]
        assert (trained["dominant"] < 0.9).all()

    def test_repaired_every_word_comes_back(self, frame):
        """Gumbel codes are judged by a draw: a word may be drawn wrongly now and then."""
        repaired = frame[frame["table"].isin(["A", "B", "D"]) & frame["cell"].str.endswith(f"{SANE}, {PLAIN}")]
        assert (repaired[repaired["cell"].str.startswith("sigmoid")]["right"] == 1).all()
        assert (repaired[repaired["cell"].str.startswith("gumbel")]["right"] >= 0.98).all()

    def test_either_repair_helps_and_that_of_the_loss_most(self, right):
        for table, bottleneck in (("A", "sigmoid"), ("A", "gumbel"), ("D", "sigmoid")):
            cells = {
                (start, loss): right[table, f"{bottleneck}, {start}, {loss}"]
                for start in (NOTEBOOK, SANE)
                for loss in (DOUBLE, PLAIN)
            }
            assert cells[NOTEBOOK, DOUBLE] < cells[SANE, DOUBLE] < cells[NOTEBOOK, PLAIN] < cells[SANE, PLAIN]

    def test_codes_without_gradient_stay_behind(self, right):
        for decoder in ("dense", "convolutional"):
            assert right["B", f"categorical, {decoder}, {SANE}, {PLAIN}"] < 0.98
            assert right["B", f"categorical, {decoder}, {NOTEBOOK}, {PLAIN}"] < 0.1
        assert right["A", f"categorical, {SANE}, {PLAIN}"] < 0.9

    def test_sane_trainings_are_quick_at_192_words_and_at_1000(self, frame):
        part = frame[frame["table"] == "C"]
        random = part["cell"].str.startswith("categorical")
        assert np.isinf(part[random]["first"]).all()
        dense = part[~random & part["cell"].str.endswith(("dense", "linear"))]
        assert (dense["first"] <= 80).all()

    def test_the_sane_start_tolerates_a_lower_rate(self, right):
        rates = [right["E", f"{NOTEBOOK}, rate {rate:g}"] for rate in (1e-5, 5e-5, 1e-4, 3e-4, 1e-3)]
        assert rates == sorted(rates)
        assert rates[0] < 0.1
        assert rates[-1] == 1
        assert right["E", f"{SANE}, rate 5e-05"] > 0.9 > rates[2]
        assert right["E", f"{SANE}, centred, rate 5e-05"] >= right["E", f"{SANE}, rate 5e-05"]

    def test_the_embedding_s_scale_matters_least_to_codes_with_a_gradient(self, right):
        for std in ("0.02", "0.1", "0.3", "1"):
            assert right["F", f"sigmoid, {std}"] == 1
            assert right["F", f"gumbel, {std}"] > 0.9
            assert right["F", f"categorical, {std}"] < 0.1
