"""Admission with bleeding in the gut within 180 days. What exactly is asked: ``definition.md``."""

from ml.risk.gastrointestinal_180d.question import RISK

__all__ = ["RISK"]
