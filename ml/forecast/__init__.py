"""Forecasts of demand for care: arrivals, admissions, occupancy, staff, drugs, blood, and syndromes by district."""

from ml.forecast.pipeline import issue, score_past, train

__all__ = ["issue", "score_past", "train"]
