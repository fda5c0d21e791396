"""The City report: what came in, what became of it, and how the model does, on one page."""

from __future__ import annotations

from infra.report.collect import build as build
from infra.report.collect import collect as collect
from infra.report.model import ReportData as ReportData
from infra.report.page import render as render
