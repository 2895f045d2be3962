"""Slots, boundary markers and format of small latent reasoners, taken apart: which of them carries the gain?"""

from tokdyn.studies.mechanisms.design import Config
from tokdyn.studies.mechanisms.experiment import run_study as run
from tokdyn.studies.mechanisms.report import headline, report

__all__ = ["Config", "headline", "report", "run"]
