"""What a feature is. A declaration is data: it can be read, compared and hashed, and an engine turns it into a plan.

``where`` and ``sql`` are SQL expressions that Sail and Apache Spark understand alike.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from ml.features.events import EVENTS
from ml.question import Feature

How = Literal["count", "distinct", "ever", "newest", "least", "most", "mean", "days_since"]


@dataclass(frozen=True)
class Windowed:
    """A feature that looks back over events of one kind.

    of: name of a kind of event (``ml.features.events``). how: ``count`` of events; ``distinct`` keys of events;
    ``ever`` (1 if there is one, else 0); value of the ``newest``; ``least``, ``most`` and ``mean`` value;
    ``days_since`` the newest. Counts and ``ever`` are 0 where there is no event, the others null. where: which
    events, over the columns of that kind. until: the window ends before this instant of the case, which is not in it.
    days: it begins so many days before, and its first instant is in it; without it the window is all the past. since:
    it begins at this instant of the case instead. with_own: an event that names one of the case's ``own_encounters``
    counts at the very instant ``until`` as well.

    An event that is dated to the day, month or year alone is in a window when the whole day, month or year lies in it:
    it does not begin before the window does, and is over when the window ends.
    """

    feature: Feature
    of: str
    how: How
    where: str = "true"
    days: int | None = None
    until: str = "as_of"
    since: str | None = None
    with_own: bool = False


@dataclass(frozen=True)
class Derived:
    """A feature by formula.

    sql: over the columns of the case and the features declared before it; by default the column of the feature's
    name. A flag is 0 where the formula is unknown, a category ``unknown``; numbers are rounded to six decimals.
    """

    feature: Feature
    sql: str = ""


@dataclass(frozen=True)
class FeatureSet:
    """The features of a question, in order."""

    declarations: tuple[Windowed | Derived, ...]

    @property
    def features(self) -> tuple[Feature, ...]:
        return tuple(declaration.feature for declaration in self.declarations)

    @property
    def windowed(self) -> list[Windowed]:
        return [one for one in self.declarations if isinstance(one, Windowed)]

    @property
    def derived(self) -> list[Derived]:
        return [one for one in self.declarations if isinstance(one, Derived)]

    def digests(self) -> dict[str, str]:
        """Feature -> 16 hex digits that change when what it means does: its declaration, how its events are made, or a
        declared feature that its formula names.

        Not covered: what functions of events call in turn, how windows are aggregated (``ml.features.plan``), columns
        that the case maker gives, and gold itself.
        """
        found: dict[str, str] = {}
        in_order: list[Windowed | Derived] = [*self.windowed, *self.derived]
        for one in in_order:
            found[one.feature.name] = _digest(_meaning(one, found))
        return {feature.name: found[feature.name] for feature in self.features}


def _digest(parts: Iterator[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _meaning(declaration: Windowed | Derived, known: Mapping[str, str]) -> Iterator[str]:
    """known: digests of the features that a formula may name."""
    feature = declaration.feature
    yield f"{feature.name} {feature.kind} {feature.unit}"
    if isinstance(declaration, Derived):
        yield declaration.sql
        yield from (known[name] for name in sorted(set(re.findall(r"\w+", declaration.sql)) & set(known)))
    else:
        d = declaration
        yield repr((d.of, d.how, d.where, d.days, d.until, d.since, d.with_own))
        yield _code(EVENTS[d.of].rows)


def _code(function: Callable[..., object]) -> str:
    """The source of a function without what does nothing: layout, comments and docstring."""
    [made] = ast.parse(inspect.getsource(function)).body
    assert isinstance(made, ast.FunctionDef)
    if ast.get_docstring(made) is not None:
        del made.body[0]
    return ast.unparse(made)
