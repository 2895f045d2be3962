"""Phases of token dynamics: where tokens merge, rest or oscillate, over temperature, repulsion and momentum."""

from tokdyn.studies.phase.experiment import Config, config_from
from tokdyn.studies.phase.experiment import run_study as run
from tokdyn.studies.phase.report import headline, report

__all__ = ["Config", "config_from", "headline", "report", "run"]
