"""Programs kept on disk: they are used again, and nothing that happens to their folder reaches a result."""

import json
import os
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest

from tokdyn import cli, compile_cache

# Every line that it reads is a life of its own: with an environment, and without a compiled program in memory.
SCRIPT = """
import json, os, sys
import jax, jax.numpy as jnp
from tokdyn import compile_cache
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event.rsplit("/", 1)[-1]))
for line in sys.stdin:
    os.environ.update(json.loads(line))
    jax.clear_caches()
    hits.clear()
    with compile_cache.kept(lambda sentence: print("said:", sentence)):
        for number in range(3):
            function = jax.jit(lambda x, number=number: jnp.cumsum(x * 3.5 + number))
            assert float(function(jnp.arange(4.0))[-1]) == 21 + 4 * number
    print("hits", hits.count("cache_hits"), "misses", hits.count("cache_misses"), flush=True)
"""
LIFE = "{}\n"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Always the same one: jax knows a program by where it is kept, too."""
    return tmp_path_factory.mktemp("compiled") / "cache"


@pytest.fixture
def place(path, monkeypatch):
    """A folder that there is not yet."""
    monkeypatch.setenv("TOKDYN_CACHE", str(path))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def started(script=SCRIPT, stderr=subprocess.PIPE, **changes):
    environment = os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"} | changes
    words = [sys.executable, "-c", script]
    return subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment
    )


def run(script=SCRIPT, **changes):
    """What a process that uses the cache once printed, all of it."""
    process = started(script, **changes)
    try:
        out, error = process.communicate(LIFE, timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, error
    assert error == ""
    return out.splitlines()


@pytest.fixture(scope="module")
def longer():
    """A process that uses the cache whenever it is asked to: where what is kept matters, not who reads it."""
    with started(stderr=subprocess.STDOUT) as process:
        yield process
        process.kill()


@pytest.fixture
def again(longer, place):
    """What such a process prints while it uses the folder once more, errors among it."""

    def use(**changes):
        longer.stdin.write(json.dumps({"TOKDYN_CACHE": str(place)} | changes) + "\n")
        longer.stdin.flush()
        lines = []
        for line in longer.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith("hits"):
                return lines
        return pytest.fail("\n".join(lines))

    return use


@pytest.fixture(scope="module")
def filled(path):
    """A copy of what a process kept there, and what it printed."""
    printed = run(TOKDYN_CACHE=str(path))
    return path.rename(path.with_name("filled")), printed


@pytest.fixture
def kept(filled, place):
    """The programs that it kept, there."""
    shutil.copytree(filled[0], place)
    return programs(place)


def programs(place):
    return sorted(place.glob("programs-*/*-cache"))


def test_the_second_process_loads_what_the_first_compiled_and_says_nothing(place, filled, kept):
    (first,) = filled[1]
    assert "hits 0" in first
    assert len(kept) >= 3
    assert run() == [f"hits {len(kept)} misses 0"]
    assert programs(place) == kept


def test_another_processor_other_flags_and_another_release_share_nothing(place, kept, again, monkeypatch):
    here = compile_cache.machine_folder()
    with monkeypatch.context() as patch:
        patch.setenv("XLA_FLAGS", "--xla_cpu_max_isa=SSE4_2")
        assert compile_cache.machine_folder() != here
    with monkeypatch.context() as patch:
        patch.setattr("importlib.metadata.version", lambda package: "0.99")
        assert compile_cache.machine_folder() != here
    with monkeypatch.context() as patch:
        patch.setattr(compile_cache, "_processor", lambda: "another")
        other = compile_cache.machine_folder()
        assert other != here
    assert compile_cache.machine_folder() == here
    # Illegal instructions of another machine, under its own name, are never looked at.
    (place / other).mkdir()
    for program in kept:
        (place / other / program.name).write_bytes(b"not for this processor")
        (place / other / program.name.replace("-cache", "-atime")).write_bytes(b"\0" * 8)
    assert again() == [f"hits {len(kept)} misses 0"]


def test_the_processor_is_told_by_its_features(monkeypatch, tmp_path):
    text = "processor : {0}\nmodel name : Fast {1}\nflags : sse avx{2}\nMHz : {0}\n"
    seen = []
    for lines in ([0, "one", ""], [7, "one", ""], [0, "two", ""], [0, "one", " avx512f"]):
        monkeypatch.setattr(Path, "read_text", lambda self, lines=lines, **_: text.format(*lines))
        seen.append(compile_cache._processor())
    assert seen[0] == seen[1]  # the same but for its number and clock
    assert len(set(seen)) == 3

    def missing(self, **_):
        raise FileNotFoundError(self)

    monkeypatch.setattr(Path, "read_text", missing)  # no Linux
    assert compile_cache._processor()


@pytest.mark.parametrize("damage", [b"", b"truncated", None], ids=["empty", "cut off", "one bit"])
def test_a_damaged_program_costs_a_sentence_and_is_compiled_again(place, kept, again, damage):
    for program in kept:
        content = bytearray(program.read_bytes())
        content[len(content) // 2] ^= 1
        program.write_bytes(bytes(content) if damage is None else damage)
    lines = again()
    assert len(lines) == 2
    assert lines[0].startswith("said: a compiled program in ")
    assert "hits 0" in lines[1]
    assert programs(place) == []  # removed, so that the next process can keep its own
    assert again() == [f"hits 0 misses {len(kept)}"]
    assert again() == [f"hits {len(kept)} misses 0"]


def test_what_a_killed_process_left_half_written_is_removed(place, kept, again):
    program, *_ = kept
    program.write_bytes(program.read_bytes()[:100])
    program.with_name(program.name.replace("-cache", "-atime")).unlink()
    (program.parent / "orphan-atime").write_bytes(b"\0" * 8)
    assert again() == [f"hits {len(kept) - 1} misses 1"]
    assert again() == [f"hits {len(kept)} misses 0"]
    assert not (program.parent / "orphan-atime").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on the size of files")
def test_a_disk_without_room_costs_a_sentence(place, again):
    """Files can be begun and not ended; what is computed is right, and nothing half-written stays."""
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))\n" + SCRIPT
    sentence, counts = run(limited)
    assert sentence.startswith(f"said: compiled programs could not be kept in {place}")
    assert "too large" in sentence
    assert "hits 0" in counts
    assert programs(place) == []
    assert len(again()) == 1  # room again
    (line,) = again()
    assert "misses 0" in line


def test_warnings_of_others_are_shown(place):
    with pytest.warns(UserWarning, match="another matter"), compile_cache.kept(pytest.fail):
        warnings.warn("another matter", stacklevel=1)


def test_a_place_that_cannot_be_used_costs_a_sentence(again, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    (sentence, counts) = again(TOKDYN_CACHE=str(tmp_path / "file" / "cache"))
    assert sentence.startswith(f"said: compiled programs cannot be kept in {tmp_path / 'file' / 'cache'}")
    assert "hits 0" in counts
    said = []
    monkeypatch.setenv("TOKDYN_CACHE", str(tmp_path / "readonly"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with compile_cache.kept(said.append) as folder:
        assert folder is None
    assert len(said) == 1


def test_two_processes_at_once_share_one_folder(place, again):
    together = [started() for _ in range(2)]
    try:
        for process in together:
            process.stdin.write(LIFE)
            process.stdin.flush()
        results = [process.communicate(timeout=120) for process in together]
    finally:
        for process in together:
            process.kill()
    for process, (out, error) in zip(together, results, strict=True):
        assert (process.returncode, error, len(out.splitlines())) == (0, "", 1), (out, error)
    (line,) = again()
    assert "misses 0" in line


def test_it_is_off_when_asked_and_leaves_a_cache_of_the_users_own_alone(place, again, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setenv("TOKDYN_CACHE", "off")
        assert again(TOKDYN_CACHE="off") == ["hits 0 misses 0"]
        with pytest.raises(ValueError, match="folder: expected .* since TOKDYN_CACHE is off, got None"):
            compile_cache.enable_compile_cache()
        assert (compile_cache.describe()["folder"], compile_cache.clear()) == (None, 0)
    run(JAX_COMPILATION_CACHE_DIR=str(tmp_path / "own"))
    assert not place.exists()
    before = jax.config.values["jax_compilation_cache_dir"]
    with compile_cache.kept(pytest.fail) as folder:
        assert jax.config.values["jax_compilation_cache_dir"] == str(folder)
    assert jax.config.values["jax_compilation_cache_dir"] == before


def test_without_the_variable_it_lies_in_the_platforms_cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("TOKDYN_CACHE")
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name, appauthor: str(tmp_path / "platform" / name))
    assert compile_cache.root() == tmp_path / "platform" / "tokdyn"


def test_folders_of_other_machines_go_when_nobody_uses_them(place):
    for name, days in (("programs-old", 40), ("programs-new", 3), ("elsewhere", 400)):
        (place / name).mkdir(parents=True)
        (place / name / "x-cache").write_bytes(b"x")
        for path in (place / name / "x-cache", place / name):
            os.utime(path, (time.time() - days * 86_400,) * 2)
    with compile_cache.settings_given_back():
        mine = compile_cache.enable_compile_cache()
    assert sorted(path.name for path in place.iterdir()) == sorted(["programs-new", "elsewhere", mine.name])


def test_it_is_bounded(place, monkeypatch):
    monkeypatch.setattr(compile_cache, "MOST_BYTES", 8_000)
    said = []
    with compile_cache.kept(said.append):
        for number in range(12):
            jax.jit(lambda x, number=number: x * 5 + number)(2.0)
    sizes = [path.stat().st_size for path in programs(place)]
    assert 0 < sum(sizes) <= 8_000
    assert said == []


def test_only_false_alarms_of_the_loader_are_left_out(capfd):
    lines = [
        b"E1 cpu_aot_loader.cc:195] Loading. Target machine feature +prefer-no-gather is not  supported\n",
        b"E1 cpu_aot_loader.cc:195] Loading. Target machine feature +avx512f is not  supported\n",
        b"F1 elsewhere: a crash\n",
    ]
    with compile_cache._lines_left_out(compile_cache._FALSE_ALARM):
        for line in lines:
            os.write(2, line)
    os.write(2, b"after\n")
    assert capfd.readouterr().err.encode() == lines[1] + lines[2] + b"after\n"


def test_the_command_line_keeps_programs_shows_them_and_clears_them(place, tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(40, 2)))
    words = ["run", str(tmp_path / "x.npy"), "--num-tokens", "2", "--no-plots", "--out", str(tmp_path / "out")]
    assert cli.main([*words, "--no-cache"]) == 0
    assert not place.exists()
    jax.clear_caches()
    assert cli.main(words) == 0
    count = len(programs(place))
    assert count > 0
    capsys.readouterr()
    assert cli.main(["info"]) == 0
    shown = json.loads(capsys.readouterr().out)["compiled_programs"]
    assert shown["folder"] == str(place)
    assert shown["programs"] == shown["of this machine and release"] == count
    assert cli.main(["info", "--clear-cache"]) == 0
    assert capsys.readouterr().out == f"{count} compiled programs removed\n"
    assert programs(place) == []
