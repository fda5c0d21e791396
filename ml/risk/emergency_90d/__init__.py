"""Emergency attendance within 90 days. What exactly is asked: ``definition.md``."""

from ml.risk.emergency_90d.question import RISK

__all__ = ["RISK"]
