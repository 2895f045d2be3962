"""Processes that sweep into one store: killed at random moments, or started together.

``PYTHONPATH=tests:tests/sweeps python tests/sweeps/several.py --kills 60 --starts 20`` by hand, ``--url s3://...`` for
an object store; ``test_several.py`` does a few in every gate. Each process is forked from one that has imported
tokdyn, and nothing else, and has a JAX of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
import uuid
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

CONTEXT = multiprocessing.get_context("forkserver")
# test_extend makes arrays when it is imported, and a process in which JAX has begun cannot be forked.
CONTEXT.set_forkserver_preload(["tokdyn", "xarray", "zarr"])
LONGEST = 120  # seconds that one process may take


def _work(
    place: str, options: dict[str, Any], environment: dict[str, str], begin: Any, wait: float, answer: Any
) -> None:
    """Of one process: sweep, and answer ``(how it ended, what was said, digest)``."""
    try:
        os.environ.update(environment)  # the process that it was forked from may be older
        from test_extend import CASES, swept

        import tokdyn as td

        case = options.pop("case")
        arguments = dict(CASES["everything"][case] if case in (0, 1) else {"seeds": case})
        begin.wait(LONGEST)
        time.sleep(wait)
        answer.put(("begun", "", ""))
        try:
            found = swept(store=place, **arguments, **options)
        except (ValueError, OSError) as error:
            answer.put(("said", str(error), ""))
        except td.SweepInterrupted as error:
            answer.put(("interrupted", str(error), ""))
        else:
            answer.put(("done", "", digest(found)))
    except BaseException:
        answer.put(("failed", traceback.format_exc(), ""))


def digest(found: Any) -> str:
    """Of all that a sweep holds; unfinished runs are part of it as such."""
    text = hashlib.sha256()
    for name in sorted(found.data_vars):
        text.update(name.encode())
        text.update(np.ascontiguousarray(found[name].values).tobytes())
    return text.hexdigest()


class Several:
    """Processes on one store; none outlives its ``with``.

    Args:
        place: the store.
        every: options of each of them: ``case`` 0 or 1 (a part, and all, of the sweep "everything"), or another number
            of seeds; the others are ``sweep``'s.
        waits: seconds that each waits after the common start.
    """

    def __init__(self, place: str, every: list[dict[str, Any]], waits: list[float]) -> None:
        self.begin = CONTEXT.Event()
        self.answers = [CONTEXT.Queue() for _ in every]
        self.processes = [
            CONTEXT.Process(target=_work, args=(place, dict(options), dict(os.environ), self.begin, wait, answer))
            for options, wait, answer in zip(every, waits, self.answers, strict=True)
        ]
        for process in self.processes:
            process.start()
        self.begin.set()

    def __enter__(self) -> Several:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
            process.join(LONGEST)

    def begun(self, number: int) -> None:
        """Wait until a process calls ``sweep``."""
        first = self.answers[number].get(timeout=LONGEST)
        assert first[0] == "begun", first[1]

    def ended(self, number: int) -> tuple[str, str, str]:
        """How a process ended."""
        answer = self.answers[number].get(timeout=LONGEST)
        self.processes[number].join(LONGEST)
        return answer


def kill(stores: Any, number: int, place: str) -> str:
    """One to three processes, each killed at a random moment, or interrupted; then the sweep goes on to the end.

    Raises:
        AssertionError: what is finished is wrong, or the sweep does not go on.
    """
    import faults
    from test_extend import CASES, swept

    import tokdyn as td
    from tokdyn.sweeps.store import open_store

    generator = np.random.default_rng(number)
    happened = []
    extending = bool(generator.integers(2))
    if extending:
        swept(store=place, **CASES["everything"][0])
    for _ in range(generator.integers(1, 4)):
        options: dict[str, Any] = {"case": 1}
        if extending:
            options["extend"] = True
        elif generator.integers(2):
            options |= {"worker": int(generator.integers(2)), "of": 2}
        how = [signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT][generator.integers(4)]
        moment = float(generator.uniform(0, stores.seconds))
        with Several(place, [options], [0.0]) as several:
            several.begun(0)
            time.sleep(moment)
            process = several.processes[0]
            if process.is_alive():
                os.kill(process.pid, how)
            process.join(LONGEST)
            assert process.exitcode is not None, "it does not end"
        happened.append(f"{how.name} after {moment:.2f} s of {options}")
        found, _ = faults.said(lambda: td.open_sweep(place))
        if found is not None:
            faults.same_so_far(found, stores, happened)
    there = open_store(place) is not None
    whole = swept(store=place, extend=there, **CASES["everything"][1])
    faults.same(whole, stores.expected, happened)
    assert "finished" not in whole
    faults.same(td.open_sweep(place, verify=True), stores.expected, happened)
    return "; ".join(happened)


STARTS = ("same", "shares", "extend", "others")


def start(stores: Any, number: int, place: str, *, together: int, kind: str) -> list[str]:
    """So many processes at once, in random order.

    Raises:
        AssertionError: one of them fails without a sentence or with wrong numbers, or the store is not one sweep's.
    """
    import faults
    from test_extend import CASES, swept

    import tokdyn as td

    generator = np.random.default_rng(number)
    every: list[dict[str, Any]] = [{"case": 1} for _ in range(together)]
    if kind == "extend":
        swept(store=place, **CASES["everything"][0])
        every = [options | {"extend": True} for options in every]
    elif kind == "shares":
        every = [options | {"worker": worker, "of": together} for worker, options in enumerate(every)]
    elif kind == "others":
        every = [{"case": 1 if generator.integers(2) else int(generator.integers(2, 5))} for _ in every]
    waits = [float(wait) for wait in generator.uniform(0, 0.1, together) * (generator.random(together) < 0.7)]
    with Several(place, every, waits) as several:
        for process in range(together):
            several.begun(process)
        ends = [several.ended(process) for process in range(together)]
    assert all(end in ("done", "said") for end, _, _ in ends), ends
    assert all(said and "\n" not in said for end, said, _ in ends if end == "said"), ends
    winners = [options["case"] for options, (end, _, _) in zip(every, ends, strict=True) if end == "done"]
    if kind != "others":
        assert winners == [1] * together, ends
    assert len(set(winners)) == 1, f"{len(set(winners))} sweeps have one store: {every}, {ends}"
    found = td.open_sweep(place, verify=True)
    assert "finished" not in found
    if winners[0] == 1:
        faults.same(found, stores.expected, ends)
        digests = {told for end, _, told in ends if end == "done"}
        if kind in ("same", "extend"):
            assert digests == {digest(stores.expected)}, "what they were given differs from the sweep"
    else:
        np.testing.assert_array_equal(found["x"].values, swept(seeds=winners[0])["x"].values)
    return [end for end, _, _ in ends]


class Stores:
    """What the store holds in the end, and how long that takes."""

    def __init__(self) -> None:
        from test_extend import CASES, swept

        self.begun, self.expected = (swept(**case) for case in CASES["everything"])
        with (
            tempfile.TemporaryDirectory() as folder,
            Several(f"{folder}/store", [{"case": 1}], [0.0]) as several,
        ):
            several.begun(0)
            began = time.perf_counter()
            assert several.ended(0)[0] == "done"
            self.seconds = time.perf_counter() - began


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--starts", type=int, default=20, help="rounds, each of two, three and four processes")
    parser.add_argument("--url", default=None, help="where stores are made; by default a folder")
    chosen = parser.parse_args()
    import faults

    stores = Stores()
    print(f"a sweep takes {stores.seconds:.2f} s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        root = chosen.url or str(Path(folder).resolve())
        trials = [(f"kill {n}", partial(kill, stores, n, f"{root}/{uuid.uuid4().hex}")) for n in range(chosen.kills)]
        for number in range(chosen.starts):
            kind = STARTS[number % len(STARTS)]
            for together in (2, 3, 4):
                begun = partial(start, stores, number, f"{root}/{uuid.uuid4().hex}", together=together, kind=kind)
                trials.append((f"start {number} {together} {kind}", begun))
        failed = faults.num_failed(trials)
    print(f"{chosen.kills} times killed, {3 * chosen.starts} times started together; {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
