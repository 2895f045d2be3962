"""The token-dynamics study, reproduced row by row: attraction with inertia and repulsion, on Gaussian clusters."""

from tokdyn.studies.dynamics.claims import findings
from tokdyn.studies.dynamics.design import Config
from tokdyn.studies.dynamics.report import STUDY, headline

run, report = STUDY.run, STUDY.report

__all__ = ["STUDY", "Config", "findings", "headline", "report", "run"]
