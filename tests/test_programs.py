"""Every test file, run alone, stays within its own budget of programs: ``programs.json``, beside this file.

Shared programs make counts depend on what ran before, so each file has a process of its own: slow. After a change that
needs more programs, ``python tests/test_programs.py FILE...`` counts again and writes the budgets (all files without a
name); the reader of that change then sees what it costs.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUDGET = ROOT / "tests" / "programs.json"
FILES = sorted(
    str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py") if path.name != Path(__file__).name
)


def programs(file):
    """How many programs the fast tests of that file compile in a process of their own."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "programs.json"
        words = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", file]
        done = subprocess.run(
            [*words, "--count-programs", str(told)], cwd=ROOT, capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode in (0, 5), done.stdout[-2000:]  # 5: all of its tests are slow
        return sum(json.loads(told.read_text())["files"].values())


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_no_file_compiles_more_than_its_budget(file):
    budget = json.loads(BUDGET.read_text())["files"]
    assert file in budget, f"python tests/test_programs.py {file}"
    assert programs(file) <= budget[file]


def test_budgets_are_of_files_that_there_are():
    assert set(json.loads(BUDGET.read_text())["files"]) <= set(FILES)


def main():
    """Count, and write budgets that leave a twentieth and two programs for other releases of jax."""
    written = json.loads(BUDGET.read_text())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        chosen = sys.argv[1:] or FILES
        counts = dict(zip(chosen, pool.map(programs, chosen), strict=True))
    allowed = {file: math.ceil(count * 1.05) + 2 if count else 0 for file, count in counts.items()}
    kept = {file: budget for file, budget in written["files"].items() if file in FILES}
    written["files"] = dict(sorted({**kept, **allowed}.items()))
    BUDGET.write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main()
