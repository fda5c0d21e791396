"""Unplanned readmission within 30 days of discharge. What exactly is asked: ``definition.md``."""

from ml.risk.readmission_30d.question import RISK

__all__ = ["RISK"]
