"""Phases of token dynamics: where tokens merge, rest or oscillate, over temperature, repulsion and momentum."""

from tokdyn.studies.phase.claims import findings
from tokdyn.studies.phase.design import Config
from tokdyn.studies.phase.report import STUDY, headline

run, report = STUDY.run, STUDY.report

__all__ = ["STUDY", "Config", "findings", "headline", "report", "run"]
