"""Diagnosis of lung cancer within 180 days: whom to refer. What exactly is asked: ``definition.md``."""

from ml.risk.lung_cancer_180d.question import RISK

__all__ = ["RISK"]
