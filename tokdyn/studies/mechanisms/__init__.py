"""Slots, boundary markers and format of small latent reasoners, taken apart: which of them carries the gain?"""

from tokdyn.studies.mechanisms.claims import findings
from tokdyn.studies.mechanisms.design import Config
from tokdyn.studies.mechanisms.report import STUDY, headline

run, report = STUDY.run, STUDY.report

__all__ = ["STUDY", "Config", "findings", "headline", "report", "run"]
