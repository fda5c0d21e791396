"""Onset of high blood pressure within two years. What exactly is asked: ``definition.md``."""

from ml.risk.hypertension_2y.question import RISK

__all__ = ["RISK"]
