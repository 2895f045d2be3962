"""Regimes and remedies: what makes tokens collapse on harder data, and what repairs it."""

from tokdyn.studies.collapse.design import Config
from tokdyn.studies.collapse.report import STUDY, headline

run, report = STUDY.run, STUDY.report

__all__ = ["STUDY", "Config", "headline", "report", "run"]
