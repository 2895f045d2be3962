"""How often diagnostics of latent tokens are right: sensitivity and false alarms over many trainings of known truth."""

from tokdyn.studies.calibration.design import Config
from tokdyn.studies.calibration.report import STUDY, headline

run, report = STUDY.run, STUDY.report

__all__ = ["STUDY", "Config", "headline", "report", "run"]
