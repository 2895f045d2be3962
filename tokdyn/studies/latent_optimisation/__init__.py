"""Does optimising latent tokens at test time raise accuracy, or its own reward only? (After DMLR and its relatives.)"""

from tokdyn.studies.latent_optimisation.design import Config
from tokdyn.studies.latent_optimisation.experiment import run_study as run
from tokdyn.studies.latent_optimisation.report import headline, report

__all__ = ["Config", "headline", "report", "run"]
