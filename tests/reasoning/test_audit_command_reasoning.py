"""The command: a report on the screen, a folder all at once or not at all, one sentence for bad input."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest

from tokdyn import cli
from tokdyn.reasoning import audit


@pytest.fixture
def run(tmp_path):
    item = np.arange(200)
    arrays = {
        "answers": item % 4,
        "targets": item % 4,
        "name": "a | b",
        "arm/zero/answers": np.where(item % 2 > 0, item % 4, (item + 1) % 4),
        "arm/same | same/answers": item % 4,
    }
    return audit.save(tmp_path / "run.npz", arrays)


def test_a_report_is_printed_and_written(run, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    words = ["audit", str(run), "--out", str(out), "--num-resamples", "50", "--bound", "0.1"]
    assert cli.main(words) == 0
    printed = capsys.readouterr().out
    first, second = printed.splitlines()[:2]
    assert first.startswith("Audit of a | b: 200 items. Arm 'same | same' did nothing: did the hook fire?")
    assert second.startswith("200 items, 1.000 right")
    assert "shown to change accuracy by at most" not in printed
    assert "Arm 'zero' changes accuracy by -0.500" in printed
    assert "Cosines between items: latents" in printed
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert names == {"report.md", "report.html", "metadata.json", "tables/arms.csv", "tables/left_out.csv", "mine.txt"}
    record = json.loads((out / "metadata.json").read_text())
    assert record["sha256"] == hashlib.sha256(run.read_bytes()).hexdigest()
    assert record["options"] == {"bound": 0.1, "alpha": 0.05, "num_resamples": 50, "seed": 0}
    assert record["versions"]["jax"]
    table = pd.read_csv(out / "tables" / "arms.csv").set_index("arm")
    assert table["verdict"].to_dict() == {"clean": "reference", "zero": "effect", "same | same": "no effect"}
    report = (out / "report.md").read_text()
    assert "| same \\| same |" in report
    rows = [line for line in report.splitlines() if line.startswith("| zero")]
    assert len(rows) == 1
    assert rows[0].count(" | ") == len(table.columns)  # a cell for each column
    found = audit.audit(audit.load(run), bound=0.1, num_resamples=50)
    np.testing.assert_allclose(table["low"], found.tables["arms"]["low"], rtol=1e-6)
    assert list(record["findings"]) == list(found.findings)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["none.npz"], "file: expected a run saved by numpy.savez, got none.npz (no such file)"),
        (["run.npz", "--bound", "2"], "bound: expected a number between 0 and 1, got 2.0"),
        (["run.npz", "--alpha", "0"], "alpha: expected a number strictly between 0 and 1, got 0.0"),
        (["run.npz", "--seed", "-1"], "seed: expected a static integer of at least 0, got -1"),
        (["run.npz", "--out", "run.npz/out"], "out: expected a folder that can be written, got run.npz/out"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(words, sentence, run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["audit", *words, *([] if "--out" in words else ["--out", "out"])]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"tokdyn: {sentence}")
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]


def test_a_report_that_fails_leaves_no_folder(run, tmp_path, monkeypatch, capsys):
    from tokdyn.studies import audits

    def fails(*_):
        raise ValueError("rows: expected none")

    monkeypatch.setattr(audits, "_rows", fails)
    assert cli.main(["audit", str(run), "--out", str(tmp_path / "out"), "--num-resamples", "50"]) == 2
    assert not list((tmp_path / "out").glob("*"))
    assert capsys.readouterr().out == ""
