"""Scaling of visual-token autoencoders: the vocabulary up to 10,000 words."""

from tokdyn.studies.scaling.experiment import Config
from tokdyn.studies.scaling.experiment import run_study as run
from tokdyn.studies.scaling.report import headline, report

__all__ = ["Config", "headline", "report", "run"]
