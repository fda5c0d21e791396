"""The City report: what came in, what became of it, and how the model does, on one page."""

from __future__ import annotations

from infra.report.collect import collect as collect
from infra.report.collect import gather as gather
from infra.report.model import ReportData as ReportData
from infra.report.page import render as render
from infra.report.summary import summary as summary
