"""How many tokens? Surplus tokens that merge, a temperature chosen without labels, scikit-learn beside it."""

from tokdyn.studies.overprovision.design import Config
from tokdyn.studies.overprovision.report import STUDY, headline

run, report = STUDY.run, STUDY.report

__all__ = ["STUDY", "Config", "headline", "report", "run"]
