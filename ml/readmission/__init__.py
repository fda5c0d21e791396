"""Unplanned readmission within 30 days of discharge. What exactly is asked: ``definition.md``."""

from ml.readmission.pipeline import build_features, score, train

__all__ = ["build_features", "score", "train"]
