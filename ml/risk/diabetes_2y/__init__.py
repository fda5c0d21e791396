"""Onset of diabetes within two years. What exactly is asked: ``definition.md``."""

from ml.risk.diabetes_2y.question import RISK

__all__ = ["RISK"]
