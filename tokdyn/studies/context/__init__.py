"""Tokens that depend on context: senses on held-out sentences, sentences as patterns, a vocabulary that changes."""

from tokdyn.studies.context.claims import findings
from tokdyn.studies.context.design import Config
from tokdyn.studies.context.report import STUDY, headline

run, report = STUDY.run, STUDY.report

__all__ = ["STUDY", "Config", "findings", "headline", "report", "run"]
