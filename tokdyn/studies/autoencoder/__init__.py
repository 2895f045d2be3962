"""Visual-token autoencoders: the published collapse, its causes one by one, and what repairs it."""

from tokdyn.studies.autoencoder.design import condition
from tokdyn.studies.autoencoder.published import findings
from tokdyn.studies.autoencoder.report import headline, report
from tokdyn.studies.autoencoder.study import Config
from tokdyn.studies.autoencoder.study import run_study as run

__all__ = ["Config", "condition", "findings", "headline", "report", "run"]
