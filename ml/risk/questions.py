"""Which risk questions there are: every folder of this package that declares one."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module, resources

import ml.risk
from jobs.errors import CitywellError
from ml.features import FeatureSet, View
from ml.risk.declared import Risk


def names() -> list[str]:
    """The folders' names, sorted; each is the name of its question."""
    return sorted(item.name for item in pkgutil.iter_modules(ml.risk.__path__) if item.ispkg)


def load(name: str) -> Risk:
    """The question called ``name``. Raises CitywellError for one that there is not, or whose folder has another
    name."""
    if name not in names():
        raise CitywellError(
            f"There is no risk question {name!r}.", where="ml/risk", do=f"choose from {', '.join(names())}"
        )
    risk: Risk = import_module(f"ml.risk.{name}").RISK
    if risk.name != name:
        raise CitywellError(
            f"The question in this folder calls itself {risk.name!r}.",
            where=f"ml/risk/{name}",
            do="give the folder and the question one name",
        )
    return risk


def declared() -> list[Risk]:
    """All questions, in the order of their names."""
    return [load(name) for name in names()]


def views() -> list[View]:
    """The views that questions are about, in the order of their names."""
    found = {risk.view.name: risk.view for risk in declared()}
    return [found[name] for name in sorted(found)]


def features_of(view: View) -> FeatureSet:
    """The features of a view with those that questions about it declare for themselves.

    Raises CitywellError when two declare one name differently.
    """
    found = {one.feature.name: one for one in view.features.declarations}
    for risk in declared():
        for one in risk.own if risk.view.name == view.name else ():
            if found.setdefault(one.feature.name, one) != one:
                raise CitywellError(
                    f"The feature {one.feature.name} is declared twice, and differently.",
                    where=f"ml/risk/{risk.name}",
                    do="give it another name",
                )
    return FeatureSet(tuple(found.values()))


def definition(name: str) -> str:
    """What exactly is asked, in Markdown."""
    return resources.files(f"ml.risk.{name}").joinpath("definition.md").read_text("utf-8")


def code_of(name: str) -> Iterator[bytes]:
    """The files that turn gold into the question's model: its own, those of features, cases and training."""
    places = [
        *_sources(f"ml.risk.{name}", (".py", ".md")),
        *_sources("ml.features", (".py",)),
        *(resources.files("ml.risk").joinpath(file) for file in ("declared.py", "outcome.py")),
        *(
            resources.files("ml").joinpath(file)
            for file in ("models.py", "procedure.py", "recalibration.py", "training.py")
        ),
    ]
    for place in places:
        yield place.read_bytes()


def _sources(package: str, endings: tuple[str, ...]) -> list[resources.abc.Traversable]:
    found = [f for f in resources.files(package).iterdir() if f.name.endswith(endings)]
    return sorted(found, key=lambda file: file.name)
