"""Whether features mean what a model has learnt: asked before it scores anybody.

What is compared are the digests of ``ml.features.declared``; see there what they do not cover.
"""

from __future__ import annotations

from collections.abc import Mapping

from ml import registry
from ml.registry import Model, UnusableModel, Version
from ml.risk import questions
from ml.risk.declared import Risk


def declared(risk: Risk) -> Mapping[str, str]:
    """Feature of the question -> digest of what it means now."""
    digests = questions.features_of(risk.view).digests()
    return {name: digests[name] for name in risk.question.feature_names}


def load(risk: Risk, version: Version) -> Model:
    """The model of ``version``, for scoring.

    Raises UnusableModel where a feature that it uses is declared otherwise than when it was trained, or no more, and
    when it cannot be loaded. A version without digests is believed.
    """
    now = declared(risk)
    changed = [
        name for name, digest in sorted(registry.feature_digests(version).items()) if now.get(name) != digest
    ]
    if changed:
        raise UnusableModel(
            f"Features no longer mean what the model has learnt: {', '.join(changed)}.",
            where=f"model {version.name} version {version.number}",
            do="train again; the gate replaces a champion that cannot score",
        )
    return registry.load(version)
