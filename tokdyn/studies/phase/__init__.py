"""Phases of token dynamics: where tokens merge, rest or oscillate, over temperature, repulsion and momentum."""

from tokdyn.studies.phase.experiment import Config
from tokdyn.studies.phase.experiment import run_study as run
from tokdyn.studies.phase.report import headline, report

__all__ = ["Config", "headline", "report", "run"]
