"""Topology: why the published model gave its map up, what repairs it, and which dimension is enough."""

from tokdyn.studies.topology.claims import findings
from tokdyn.studies.topology.design import Config
from tokdyn.studies.topology.report import STUDY, headline

run, report = STUDY.run, STUDY.report

__all__ = ["STUDY", "Config", "findings", "headline", "report", "run"]
