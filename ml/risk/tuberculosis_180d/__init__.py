"""Diagnosis of tuberculosis within 180 days: whom to refer. What exactly is asked: ``definition.md``."""

from ml.risk.tuberculosis_180d.question import RISK

__all__ = ["RISK"]
