"""The token-dynamics study, reproduced row by row: attraction with inertia and repulsion, on Gaussian clusters."""

from tokdyn.studies.dynamics.design import Config
from tokdyn.studies.dynamics.experiment import run_study as run
from tokdyn.studies.dynamics.published import findings
from tokdyn.studies.dynamics.report import headline, report

__all__ = ["Config", "findings", "headline", "report", "run"]
