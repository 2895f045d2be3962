"""Latent recurrences as dynamics: do the latents of the shipped reasoners contract, come to rest, become alike?"""

from tokdyn.studies.recurrence.claims import findings
from tokdyn.studies.recurrence.design import Config
from tokdyn.studies.recurrence.report import STUDY, headline

run, report = STUDY.run, STUDY.report

__all__ = ["STUDY", "Config", "findings", "headline", "report", "run"]
