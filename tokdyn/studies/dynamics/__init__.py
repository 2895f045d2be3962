"""The token-dynamics study, reproduced row by row: attraction with inertia and repulsion, on Gaussian clusters."""

from tokdyn.studies.dynamics.experiment import Config
from tokdyn.studies.dynamics.experiment import run_study as run

__all__ = ["Config", "run"]
