"""What docs/visual_tokens.md shows runs as it stands, and its table of the published phases is the study's design."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

import tokdyn as td
from tokdyn import autoencoder as ae
from tokdyn.studies.autoencoder import design, trainings

PAGE = (Path(__file__).parents[2] / "docs" / "visual_tokens.md").read_text()
SECTIONS = {part.splitlines()[0]: re.findall(r"```python\n(.*?)```", part, re.S) for part in PAGE.split("\n## ")[1:]}


def trains(block):
    return any(call in block for call in ("train.fit", "fits", "fitted", "diagnose", "quantizer"))


def run(folder, wanted):
    """The blocks that are wanted, one after another as a reader runs them; and the names that they leave."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for heading, blocks in SECTIONS.items():
            for block in filter(wanted, blocks):
                exec(compile(block, f"docs/visual_tokens.md, {heading}", "exec"), found)
    return found


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """What the page makes without training anything."""
    return run(tmp_path_factory.mktemp("page"), lambda block: not trains(block))


def test_the_page_reads_a_text(names):
    assert len(names["poem"].train_sentences) == 3


@pytest.mark.slow
def test_the_whole_page_runs(tmp_path):
    found = run(tmp_path, lambda block: True)
    assert found["fits"].history["loss"].shape == (8, 1)
    assert found["found"].cause
    assert found["fitted_seventh"].step == 200
    assert found["fitted_seventh"].history["loss"].shape == (1,)
    # The smallest parts of one's own learn every word.
    np.testing.assert_array_equal(np.asarray(found["logits"]).argmax(-1), np.arange(51))


ROWS = [
    [cell.strip(" `") for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if re.match(r"\| \d ", line)
]


def test_the_table_has_all_seven_phases():
    assert [row[0][0] for row in ROWS] == list("1234567")


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_phase_is_the_condition_that_the_table_names(names, row):
    model = names["phase"](*(eval(cell, dict(names)) for cell in row[1:5]))
    condition = {one.name: one for one in design.default()}[row[5]]
    studied = trainings.model_of(condition.program, dict(condition.numbers))
    assert jax.tree.structure(model) == jax.tree.structure(studied)
    assert td.values(model) == td.values(studied)
    double = {"double_softmax": 0.0 if row[0].startswith("7") else 1.0}
    terms = {"words": ae.losses.cross_entropy(**double)}
    terms |= {"sensitivity": ae.losses.sensitivity()} if row[0].startswith("6") else {}
    loss = trainings.loss_of(condition.program, dict(condition.numbers))
    assert td.values(loss) == td.values(ae.losses.objective(**terms))
    assert condition["learning_rate"] == (5e-5 if row[0].startswith("7") else 1e-3)
