"""What gold tells without a question asked: statistics, correlations, rules, clusters, anomalies and outbreaks.

Each method is a module of pure functions on aggregates that the engine has made (``inputs``, ``syndromes``);
``pipeline`` runs them on gold and publishes ``gold.mining_*``, ``surveillance`` those of outbreaks, every day. What is
found is an association: it says where to look, and proves no cause.
"""

from ml.mining.pipeline import mine
from ml.mining.surveillance import surveil, tell

__all__ = ["mine", "surveil", "tell"]
