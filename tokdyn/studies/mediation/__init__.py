"""Image to latents to answer: interventions and mediation on reasoners whose truth is known (after CapImagine)."""

from tokdyn.studies.mediation.claims import findings
from tokdyn.studies.mediation.design import Config
from tokdyn.studies.mediation.report import STUDY, headline

run, report = STUDY.run, STUDY.report

__all__ = ["STUDY", "Config", "findings", "headline", "report", "run"]
