"""Execute every notebook, each in a fresh kernel, one on each core: ``python notebooks/run.py [--fast]``.

Each is kept as one HTML file with its figures inside, as far as it came: open ``build/notebooks/*.html`` in a browser
(which fetches MathJax from the network to set the formulas; all else is in the file).
"""

import argparse
import concurrent.futures
import os
import sys
import tempfile
import time
from pathlib import Path

import jupytext
import nbclient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter

FOLDER = Path(__file__).resolve().parent


def execute(source: Path, timeout: int, keep: Path) -> tuple[float, str]:
    """Seconds, and what went wrong, if anything; what was executed goes to the folder, up to its error."""
    notebook = jupytext.read(source)
    start, error = time.perf_counter(), ""
    with tempfile.TemporaryDirectory() as folder:
        client = nbclient.NotebookClient(
            notebook,
            timeout=timeout,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            extra_arguments=["--log-level=40"],  # the kernel's errors, not its warnings
        )
        try:
            client.execute()
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as caught:
            error = str(caught) or repr(caught)
    page, _ = HTMLExporter(embed_images=True).from_notebook_node(notebook, {"metadata": {"name": source.stem}})
    (keep / f"{source.stem}.html").write_text(page, encoding="utf-8")
    return time.perf_counter() - start, error


def main() -> int:
    """Run them, those with higher numbers first, which take longer; 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="starts of file names, such as 20; all notebooks without one")
    parser.add_argument("--fast", action="store_true", help="fewer seeds (sets TOKDYN_FAST=1), compiled as tests are")
    parser.add_argument("--timeout", type=int, default=600, help="seconds that a cell may take")
    parser.add_argument(
        "--keep", type=Path, default=FOLDER.parent / "build" / "notebooks", metavar="FOLDER", help="of the HTML files"
    )
    options = parser.parse_args()
    if options.fast:
        from tokdyn.environment import cheap_compiler_settings

        os.environ.update(cheap_compiler_settings(), TOKDYN_FAST="1")
    sources = sorted(FOLDER.glob("[0-9]*.py"), reverse=True)
    if options.names:
        sources = [source for source in sources if source.name.startswith(tuple(options.names))]
    if not sources:
        print(f"no such notebook in {FOLDER}", file=sys.stderr)
        return 1
    options.keep.mkdir(parents=True, exist_ok=True)
    failed = 0
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        running = {pool.submit(execute, source, options.timeout, options.keep): source.name for source in sources}
        for done in concurrent.futures.as_completed(running):
            seconds, error = done.result()
            print(f"{running[done]}: {'failed' if error else 'passed'} after {seconds:.1f} s", flush=True)
            if error:
                failed += 1
                print(error, file=sys.stderr)
    print(f"kept in {options.keep}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
