"""Whether features mean what a model has learnt: asked before it scores anybody, or is compared with anything.

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


def changed(risk: Risk, version: Version) -> list[str]:
    """Features of ``version`` that are declared otherwise than when it was trained, or no more; none of a version
    without digests, which is believed."""
    learnt = registry.feature_digests(version)
    if not learnt:
        return []
    now = declared(risk)
    return [name for name, digest in sorted(learnt.items()) if now.get(name) != digest]


def require(risk: Risk, version: Version) -> None:
    """Raises UnusableModel where a feature of ``version`` has ``changed``."""
    if found := changed(risk, version):
        raise UnusableModel(
            f"Features no longer mean what the model has learnt: {', '.join(found)}.",
            where=f"model {version.name} version {version.number}",
            do="train again; the gate replaces a champion that cannot score",
        )


def load(risk: Risk, version: Version) -> Model:
    """The model of ``version``, for scoring.

    Raises UnusableModel where a feature has ``changed``, and when the model cannot be loaded.
    """
    require(risk, version)
    return registry.load(version)
