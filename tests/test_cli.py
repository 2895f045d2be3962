"""The command line as a new user meets it: in processes of its own, without terminal, display or home."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tokdyn import cli, studies
from tokdyn.environment import cheap_compiler_settings


def tokdyn(*words, cwd=None, environment=None):
    return subprocess.run(
        [sys.executable, "-m", "tokdyn", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_a_study_needs_no_terminal_no_display_and_no_home(tmp_path):
    environment = {"PATH": os.environ["PATH"], "TOKDYN_CACHE": str(tmp_path / "out" / "cache")}
    environment |= {name: os.environ[name] for name in cheap_compiler_settings() if name in os.environ}
    words = ["study", "dynamics", "--quick", "--clusters", "3", "--out", tmp_path / "out"]
    done = tokdyn(*words, cwd=tmp_path, environment=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # silence in a pipe
    assert done.stdout.splitlines()[-1] == str(tmp_path / "out" / "report.md")
    assert (tmp_path / "out" / "plots" / "ari.png").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def test_a_recorded_run_repeats_exactly(tmp_path, capsys):
    (tmp_path / "sample_clevr").mkdir()
    samples = tmp_path / "sample_clevr" / "samples.json"
    samples.write_text(json.dumps([{"image": "a.png", "program": []}]))
    words = ["study", "dynamics", "--no-plots", "--out"]
    options = ["--data", "native", "--seeds", "3", "--no-x64", "--clusters", "3", "--noises", "0.4", "0.8"]
    options += ["--key", "5"]
    assert cli.main([*words, str(tmp_path / "one"), *options, "--samples", str(samples)]) == 0
    assert cli.main([*words, str(tmp_path / "two"), "--config", str(tmp_path / "one" / "metadata.json")]) == 0
    assert (tmp_path / "one" / "runs.csv").read_bytes() == (tmp_path / "two" / "runs.csv").read_bytes()
    recorded, again = (json.loads((tmp_path / n / "metadata.json").read_text())["config"] for n in ("one", "two"))
    assert recorded == again
    assert recorded["noises"] == [0.4, 0.8]
    checked = json.loads((tmp_path / "two" / "data_checks.json").read_text())
    assert checked["sample_clevr"]["missing_programs"] == 1


def test_run_and_info_and_check_data(tmp_path, capsys):
    values = np.random.default_rng(0).normal(size=(40, 2))
    rows = [f"{n},{a},{b},{'u' if a > 0 else 'v'}" for n, (a, b) in enumerate(values, 1)]
    (tmp_path / "x.csv").write_text("\n".join(["id,a,b,kind", *rows]))
    words = ["--num-tokens", "2", "--labels", "kind", "--columns", "2:b", "--out", str(tmp_path / "out"), "--no-plots"]
    assert cli.main(["run", str(tmp_path / "x.csv"), *words]) == 0
    printed = capsys.readouterr()
    assert "40 features of 2 dimensions" in printed.out
    assert "Against the 2 true clusters: adjusted Rand index" in printed.out
    assert printed.err.startswith("tokdyn: Column 'id' is called an id")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(40, 2)))
    out = tmp_path / "out"
    hot = ["run", str(tmp_path / "x.npy"), "--num-tokens", "2", "--temperature", "50", "--out", str(out), "--no-plots"]
    assert cli.main(hot) == 0
    told = capsys.readouterr()
    assert "not to be relied on" in told.out
    assert "tokdyn: warning: Temperature 50 is" in told.err
    assert cli.main([*hot[:5], "auto", *hot[6:]]) == 0
    assert capsys.readouterr().err == ""
    sample = [{"question": "How many?", "image": "a.png", "program": ["scene", "count"], "answer": 3}] * 10
    (tmp_path / "samples.json").write_text(json.dumps(sample))
    assert cli.main(["check-data", str(tmp_path / "samples.json")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["sample_count"], printed["missing_programs"]) == (10, 0)
    assert cli.main(["info"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert "versions" in printed
    assert printed["compiled_programs"] == {"folder": None, "why": "TOKDYN_CACHE is off"}


def test_claims_and_list(capsys):
    assert cli.main(["claims", "--work", "dynamics", "--verdict", "contradicted"]) == 0
    assert "collapse_not_observed" in capsys.readouterr().out
    assert cli.main(["claims", "--as-json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) > 200
    assert cli.main(["list"]) == 0
    assert "published/inertia_repulsion" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["dance"],
            "tokdyn: command: expected one of study, run, sweep, diagnose, audit, check-data, claims, list, info, "
            "got 'dance'",
        ),
        (
            ["study", "none"],
            "tokdyn: study: expected one of 'autoencoder', 'calibration', 'collapse', 'composition', "
            "'context', 'dynamics', 'grounding', 'latent-optimisation', 'mechanisms', 'mediation', 'overprovision', "
            "'phase', 'quantizers', 'recurrence', 'scaling', 'theory', 'topology', got 'none'",
        ),
        (
            ["study"],
            "tokdyn: study: expected a name, one of autoencoder, calibration, collapse, composition, context, "
            "dynamics, grounding, latent-optimisation, mechanisms, mediation, overprovision, phase, quantizers, "
            "recurrence, scaling, theory, topology, got none",
        ),
        (["study", "dynamics", "--seeds", "0"], "tokdyn: seeds: expected a static integer of at least 1, got 0"),
        (
            ["study", "dynamics", "--config", "none.json"],
            "tokdyn: config: expected a metadata.json, got none.json (no such file)",
        ),
        (
            ["run", "none.npy", "--num-tokens", "3"],
            "tokdyn: file: expected a file of features, got none.npy (no such file)",
        ),
        (["claims", "--work", "none"], "tokdyn: work: expected one of 'dynamics'"),
        (
            ["info", "none"],
            "tokdyn: path: expected a Zarr store, a dynamics written by td.save, or a training written by "
            "td.autoencoder.save_run, got none",
        ),
        (["list", "x"], "tokdyn: list: expected no argument, got 'x'"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(words, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith(sentence)
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_options_of_the_wrong_type_are_refused_by_code_2():
    with pytest.raises(SystemExit) as stopped:
        cli.main(["run", "x.npy", "--num-tokens", "three"])
    assert stopped.value.code == 2


def test_a_folder_that_cannot_be_written_is_said(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    words = ["study", "dynamics", "--quick", "--no-plots", "--out", str(tmp_path / "file" / "out")]
    assert cli.main(words) == 2
    assert "tokdyn: out: expected a folder that can be written" in capsys.readouterr().err


def test_a_reader_that_stops_early_is_no_error():
    for words in ("--help", "claims"):
        done = subprocess.run(
            f"{sys.executable} -m tokdyn {words} | head -c 1", shell=True, capture_output=True, text=True, check=False
        )
        assert done.stderr == ""


def test_third_parties_bring_studies(monkeypatch, tmp_path):
    import importlib.metadata

    (tmp_path / "my_study.py").write_text('"""Mine."""\ndef run(config): ...\ndef report(dataset, folder): ...\n')
    (tmp_path / "broken_study.py").write_text('"""Lacks a report."""\ndef run(config): ...\n')
    points = [
        importlib.metadata.EntryPoint(name, value, studies.GROUP)
        for name, value in (("mine", "my_study"), ("broken", "broken_study"), ("absent", "no_such_module"))
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points)
    monkeypatch.syspath_prepend(tmp_path)
    assert studies.load("mine").description == "Mine."
    assert set(studies.available()) == {"mine", "broken", "absent"} | set(studies.OURS)
    with pytest.raises(
        ValueError,
        match=r"study: expected a module with STUDY, or with run\(config\) and .* in broken_study, got no report",
    ):
        studies.load("broken")
    with pytest.raises(ValueError, match="study: expected a module no_such_module that can be imported"):
        studies.load("absent")
