"""Does optimising latent tokens at test time raise accuracy, or its own reward only? (After DMLR and its relatives.)"""

from tokdyn.studies.latent_optimisation.claims import findings
from tokdyn.studies.latent_optimisation.design import Config
from tokdyn.studies.latent_optimisation.report import STUDY, headline

run, report = STUDY.run, STUDY.report

__all__ = ["STUDY", "Config", "findings", "headline", "report", "run"]
