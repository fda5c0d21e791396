"""What gold tells without a question asked: statistics, correlations, rules, clusters, anomalies and outbreaks.

Each method is a module of pure functions on aggregates that the engine has made (``inputs``); ``pipeline`` runs them on
gold and publishes ``gold.mining_*``. What is found is an association: it says where to look, and proves no cause.
"""

from ml.mining.pipeline import mine

__all__ = ["mine"]
