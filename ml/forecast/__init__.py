"""Forecasts of demand for care: arrivals, admissions, occupancy, staff, drugs, blood, and syndromes by district."""
