"""How often diagnostics of latent tokens are right: sensitivity and false alarms over many trainings of known truth."""

from tokdyn.studies.calibration.design import Config
from tokdyn.studies.calibration.experiment import run_study as run
from tokdyn.studies.calibration.report import headline, report

__all__ = ["Config", "headline", "report", "run"]
