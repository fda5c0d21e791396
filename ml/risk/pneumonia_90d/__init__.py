"""Admission with pneumonia within 90 days. What exactly is asked: ``definition.md``."""

from ml.risk.pneumonia_90d.question import RISK

__all__ = ["RISK"]
