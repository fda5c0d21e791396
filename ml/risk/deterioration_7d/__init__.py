"""Deterioration from home readings within seven days. What exactly is asked: ``definition.md``."""

from ml.risk.deterioration_7d.question import RISK

__all__ = ["RISK"]
