"""Execute every notebook, each in a fresh kernel: ``python notebooks/run.py [--fast]``."""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import jupytext
import nbclient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

FOLDER = Path(__file__).resolve().parent


def main() -> int:
    """Run them in the order of their names; 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fast", action="store_true", help="fewer seeds (sets TOKDYN_FAST=1)")
    parser.add_argument("--timeout", type=int, default=600, help="seconds that a cell may take")
    options = parser.parse_args()
    if options.fast:
        os.environ["TOKDYN_FAST"] = "1"
    sources = sorted(FOLDER.glob("[0-9]*.py"))
    if not sources:
        print(f"no notebook in {FOLDER}", file=sys.stderr)
        return 1
    failed = 0
    for source in sources:
        notebook = jupytext.read(source)
        start, error = time.perf_counter(), None
        with tempfile.TemporaryDirectory() as folder:
            client = nbclient.NotebookClient(
                notebook,
                timeout=options.timeout,
                kernel_name="python3",
                resources={"metadata": {"path": folder}},
                extra_arguments=["--log-level=40"],  # the kernel's errors, not its warnings
            )
            try:
                client.execute()
            except (CellExecutionError, CellTimeoutError, DeadKernelError) as caught:
                error = caught
        seconds = time.perf_counter() - start
        print(f"{source.name}: {'failed' if error else 'passed'} after {seconds:.1f} s", flush=True)
        if error:
            failed += 1
            print(error, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
