"""Visual-token autoencoders: the published collapse, its causes one by one, and what repairs it."""

from tokdyn.studies.autoencoder.design import condition
from tokdyn.studies.autoencoder.published import findings
from tokdyn.studies.autoencoder.report import STUDY
from tokdyn.studies.autoencoder.study import Config

run, report = STUDY.run, STUDY.report

__all__ = ["STUDY", "Config", "condition", "findings", "report", "run"]
