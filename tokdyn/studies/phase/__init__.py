"""Phases of token dynamics: where tokens merge, rest or oscillate, over temperature, repulsion and momentum."""

from tokdyn.studies.phase.experiment import Config
from tokdyn.studies.phase.report import STUDY, findings

run, report = STUDY.run, STUDY.report

__all__ = ["STUDY", "Config", "findings", "report", "run"]
