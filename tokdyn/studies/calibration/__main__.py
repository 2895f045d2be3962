"""``python -m tokdyn.studies.calibration --store FOLDER``: write the suite that the package ships.

FOLDER is that of ``tokdyn study calibration --store FOLDER``; what it lacks is trained.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tokdyn import interrupts
from tokdyn.reasoning.audit.shipped import FILE, save_members
from tokdyn.studies.calibration.design import Config
from tokdyn.studies.calibration.trainings import members, train_all

TRAININGS = 2  # of each design in each stratum: enough to see that they differ, small enough to ship


def main(arguments: Sequence[str] | None = None) -> None:
    """Take the first trainings of every cell, and say where they were written."""
    parser = argparse.ArgumentParser(prog="python -m tokdyn.studies.calibration", description=__doc__)
    parser.add_argument("--store", default="", help="folder of the study's trainings")
    parser.add_argument("--file", type=Path, default=FILE, help="where to write; by default into the package")
    options = parser.parse_args(arguments)
    config = Config()
    trained, _ = train_all(config, lambda: None, store=options.store, workers=2)
    chosen = [one for one in members(config, trained) if one.training < TRAININGS]
    path = save_members(chosen, options.file)
    print(f"{len(chosen)} reasoners, {path}", flush=True)


if __name__ == "__main__":
    interrupts.install()
    main()
