"""Visual-token autoencoders: the published collapse, its causes one by one, and what repairs it."""

from tokdyn.studies.autoencoder.claims import findings
from tokdyn.studies.autoencoder.design import Config, condition
from tokdyn.studies.autoencoder.report import STUDY, headline

run, report = STUDY.run, STUDY.report

__all__ = ["STUDY", "Config", "condition", "findings", "headline", "report", "run"]
