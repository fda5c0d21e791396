"""Which version of a model is used: the aliases ``champion``, ``challenger`` and ``archived``, and the way back.

``champion`` scores people. ``challenger`` is sound, but was not better than the champion beyond noise. ``archived`` is
the champion before this one; the registered model's tag ``former_champions`` lists all of them, the latest last, so
that one can be gone back to after another. MLflow has no compare-and-set: whoever moves an alias holds a lock.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jobs.errors import CitywellError
from ml.tracking import Version, connected, version_of

CHAMPION, CHALLENGER, ARCHIVED = "champion", "challenger", "archived"
FORMER = "former_champions"


@dataclass(frozen=True)
class Listed:
    """A version and what points at it. is_former: it was champion once and can be gone back to."""

    version: Version
    aliases: tuple[str, ...]
    is_former: bool


def champion(name: str, *, uri: str | None = None) -> Version | None:
    """The version the alias ``champion`` of model ``name`` points at, or None when there is none yet."""
    return aliased(name, CHAMPION, uri=uri)


def aliased(name: str, alias: str, *, uri: str | None = None) -> Version | None:
    """The version an alias of model ``name`` points at, or None when it points at none."""
    with connected(uri) as mlflow:
        return _aliased(mlflow, name, alias)


def versions(name: str, *, uri: str | None = None) -> list[Listed]:
    """All versions of model ``name``, the newest first; none when there is no such model."""
    with connected(uri) as mlflow:
        client = mlflow.MlflowClient()
        found = [version_of(item) for item in client.search_model_versions(f"name = '{name}'")]
        if not found:
            return []
        registered = client.get_registered_model(name)
    former = _former(registered)
    return [
        Listed(
            version,
            tuple(
                sorted(alias for alias, number in registered.aliases.items() if str(number) == version.number)
            ),
            version.number in former,
        )
        for version in sorted(found, key=lambda version: -int(version.number))
    ]


def set_champion(name: str, number: str, *, instead_of: str | None, uri: str | None = None) -> bool:
    """Point ``champion`` at version ``number`` if it still points at ``instead_of``; whether it does now.

    The one it pointed at becomes ``archived`` and the last of the former champions; there is no challenger of the new
    one yet. For ``ml.gate``, which holds a lock around it.
    """
    with connected(uri) as mlflow:
        now = _aliased(mlflow, name, CHAMPION)
        if (now.number if now else None) != instead_of:
            return False
        client = mlflow.MlflowClient()
        if now is not None:
            former = _former(client.get_registered_model(name))
            _keep_former(client, name, [*(n for n in former if n not in (now.number, number)), now.number])
        client.set_registered_model_alias(name, CHAMPION, number)
        client.delete_registered_model_alias(name, CHALLENGER)
        return version_of(client.get_model_version_by_alias(name, CHAMPION)).number == number


def set_challenger(version: Version, *, uri: str | None = None) -> None:
    """Point ``challenger`` at ``version``."""
    with connected(uri) as mlflow:
        mlflow.MlflowClient().set_registered_model_alias(version.name, CHALLENGER, version.number)


def rollback(name: str, why: str, *, uri: str | None = None) -> tuple[Version, Version]:
    """Make the last former champion of model ``name`` champion again; the version left, and the one gone back to.

    why: in words, kept with the time as the tag ``rolled_back`` of the version left, which is no former champion from
    then on: rolling back again goes further back. Raises CitywellError when there is nothing to go back to.
    """
    with connected(uri) as mlflow:
        client = mlflow.MlflowClient()
        left = _aliased(mlflow, name, CHAMPION)
        former = _former(client.get_registered_model(name)) if left else []
        earlier = [number for number in former if left is None or number != left.number]
        if left is None or not earlier:
            raise CitywellError(
                "There is no former champion to go back to.",
                where=f"model {name}",
                do="see `citywell models list` for its versions; train again if the present one is bad",
            )
        back = version_of(client.get_model_version(name, earlier[-1]))
        at = datetime.now(UTC).isoformat(timespec="seconds")
        client.set_model_version_tag(
            name, left.number, "rolled_back", f"{at} to version {back.number}: {why}"
        )
        client.set_registered_model_alias(name, CHAMPION, back.number)
        client.delete_registered_model_alias(name, CHALLENGER)
        _keep_former(client, name, earlier[:-1])
        return left, back


def rolled_back_at(version: Version) -> datetime | None:
    """When ``version`` was left by a :func:`rollback`, by the wall clock; None where it was not."""
    told = version.tags.get("rolled_back")
    return None if told is None else datetime.fromisoformat(told.split(" ", 1)[0])


def _former(registered: Any) -> list[str]:
    """Numbers of former champions, the latest last."""
    return list(json.loads(registered.tags.get(FORMER, "[]")))


def _keep_former(client: Any, name: str, numbers: Sequence[str]) -> None:
    client.set_registered_model_tag(name, FORMER, json.dumps(list(numbers)))
    if numbers:
        client.set_registered_model_alias(name, ARCHIVED, numbers[-1])
    else:
        client.delete_registered_model_alias(name, ARCHIVED)


def _aliased(mlflow: Any, name: str, alias: str) -> Version | None:
    from mlflow.exceptions import MlflowException

    try:
        return version_of(mlflow.MlflowClient().get_model_version_by_alias(name, alias))
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
