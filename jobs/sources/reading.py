"""Reading source definitions from YAML. ``${CITYWELL_…}`` in an endpoint stands for a setting."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from jobs.errors import CitywellError
from jobs.settings import Settings, settings
from jobs.sources.endpoints import AnyEndpoint, FhirEndpoint
from jobs.sources.model import Source

DIRECTORY = Path(__file__).parent
_PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")
_SETTING_TYPES = (str, int, float, Path)
_PROBLEMS_SHOWN = 8
_MERGE = "tag:yaml.org,2002:merge"


class _UniqueKeys(yaml.CSafeLoader):
    """YAML in which a key stands once in a mapping, rather than the last of them winning silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key that is no single word stands here", key_node.start_mark
                )
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands here twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def load(name: str) -> Source:
    """The source definition ``jobs/sources/<name>.yml``. Raises CitywellError that names file and place."""
    path = DIRECTORY / f"{name}.yml"
    if not path.exists():
        raise CitywellError(
            f"There is no source named {name!r}",
            where=str(DIRECTORY),
            do=f"use one of: {', '.join(sorted(p.stem for p in DIRECTORY.glob('*.yml')))}",
        )
    return load_file(path)


def load_all() -> dict[str, Source]:
    """Every source definition, by name."""
    return {path.stem: load_file(path) for path in sorted(DIRECTORY.glob("*.yml"))}


def find_endpoint(name: str) -> tuple[Source, AnyEndpoint]:
    """The endpoint ``name`` and the source it belongs to, whichever that is. Raises CitywellError without one."""
    sources = load_all().values()
    for source in sources:
        if name in source.endpoints:
            return source, source.endpoints[name]
    known = sorted(endpoint for source in sources for endpoint in source.endpoints)
    raise CitywellError(
        f"No source has an endpoint named {name!r}",
        where=str(DIRECTORY),
        do=f"use one of: {', '.join(known)}",
    )


def find_fhir_endpoint(name: str) -> FhirEndpoint:
    """The FHIR server ``name``. Raises CitywellError when nothing is called so, or it is something else."""
    _, endpoint = find_endpoint(name)
    if not isinstance(endpoint, FhirEndpoint):
        raise CitywellError(
            f"{name} is no FHIR server: its protocol is {endpoint.protocol}",
            where=str(DIRECTORY),
            do="name a FHIR server; `citywell source list` shows the protocol of each endpoint",
        )
    return endpoint


def load_file(path: Path) -> Source:
    """The source definition at ``path``; its name must be the file's."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _invalid(path, [f"not UTF-8 at byte {error.start}"]) from None
    return _defined(path, text, settings())


@lru_cache(maxsize=64)
def _defined(path: Path, text: str, config: Settings) -> Source:
    """What ``text`` defines. A task asks for the definitions many times, and to read all takes a tenth of a second."""
    try:
        # The loader is a safe one, in C: the declarations are read with every task.
        data = yaml.load(text, Loader=_UniqueKeys)  # noqa: S506
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise _invalid(path, [f"not YAML{place}: {problem}"]) from None
    except ValueError:
        raise _invalid(
            path, ["not YAML: a value is not what its form says, such as a date there is not"]
        ) from None
    if not isinstance(data, dict):
        raise _invalid(path, ["it is not a mapping"])
    if data.get("name") != path.stem:
        raise _invalid(path, [f"name: must be {path.stem!r}, as the file is called"])
    if "endpoints" in data:
        data = {**data, "endpoints": _substitute(data["endpoints"], config, path, "endpoints")}
    try:
        return Source.model_validate(data)
    except ValidationError as error:
        raise _invalid(
            path, [_problem(e["loc"], e["msg"]) for e in error.errors(include_input=False)]
        ) from None


def _substitute(value: Any, config: Settings, path: Path, place: str) -> Any:
    if isinstance(value, dict):
        return {k: _substitute(v, config, path, f"{place}.{k}") for k, v in value.items()}
    if isinstance(value, list):
        return [_substitute(v, config, path, f"{place}.{i}") for i, v in enumerate(value)]
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda match: _setting(match[1], config, path, place), value)
    return value


def _setting(word: str, config: Settings, path: Path, place: str) -> str:
    name = word.removeprefix("CITYWELL_").lower()
    value = getattr(config, name, None) if word.startswith("CITYWELL_") and name.isidentifier() else None
    if name.startswith(("_", "model_")) or not isinstance(value, _SETTING_TYPES):
        raise _invalid(path, [f"{place}: ${{{word}}} is not a setting"])
    return str(value)


def _problem(place: Iterable[int | str], message: str) -> str:
    """A problem with its place, without the protocol by which pydantic tells the kinds of endpoints apart."""
    parts = [str(part) for part in place]
    if len(parts) > 2 and parts[0] == "endpoints":
        del parts[2]
    return f"{'.'.join(parts) or 'the file'}: {message}"


def _invalid(path: Path, problems: list[str]) -> CitywellError:
    shown = "; ".join(problems[:_PROBLEMS_SHOWN])
    more = f"; and {len(problems) - _PROBLEMS_SHOWN} more" if len(problems) > _PROBLEMS_SHOWN else ""
    return CitywellError(
        f"The source definition is not valid: {shown}{more}",
        where=str(path),
        do="mend the places named; jobs/sources/model.py says what may stand there",
    )
