"""Heart attack or stroke within five years. What exactly is asked: ``definition.md``."""

from ml.risk.cardiovascular_5y.question import RISK

__all__ = ["RISK"]
