"""Risk questions: one folder each, which declares a ``RISK`` and says in ``definition.md`` what exactly is asked.

``build_features``, ``train`` and ``score`` serve every question alike.
"""

from ml.risk.batch import published, score
from ml.risk.pipeline import build_features, train
from ml.risk.questions import load, names

__all__ = ["build_features", "load", "names", "published", "score", "train"]
