"""Image to latents to answer: interventions and mediation on reasoners whose truth is known (after CapImagine)."""

from tokdyn.studies.mediation.design import Config
from tokdyn.studies.mediation.experiment import run_study as run
from tokdyn.studies.mediation.report import headline, report

__all__ = ["Config", "headline", "report", "run"]
