"""One person at a time: the champion's answer from the features that the last scoring made, as the batch gives it.

Flow: person and question -> rows of the view's ``features.<view>_now`` as published -> those of the question's
population -> ``scoring.score`` with the champion. What is read is kept until another version is published or another
champion named. ``model`` serves it over HTTP by MLflow's scoring server (``ml.serving_model`` is the model, from
code).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from jobs.errors import CitywellError
from jobs.lake import control, tables
from ml import registry, scoring
from ml.risk import meaning, questions
from ml.risk.declared import Risk
from ml.tracking import Version, connected

ASKED = ("person_key", "question")
TOLD = (
    "person_key",
    "question",
    "status",
    "encounter_key",
    "as_of",
    "probability",
    "band",
    "is_alert",
    "reasons",
    "model_version",
    "features_version",
)
"""Columns of an answer. ``status``: ``answered``; ``not_asked``, where the question is not about this person now;
``no_champion``. The rest is null but where it was answered. ``as_of``: what the features know was known by then."""


@dataclass
class Desk:
    """Answers questions; keeps tables and champions between them."""

    _tables: dict[str, tuple[int, pa.Table]] = field(default_factory=dict)
    _models: dict[str, registry.Model] = field(default_factory=dict)

    def answer(self, asked: pd.DataFrame) -> pd.DataFrame:
        """Rows of TOLD for rows of ASKED, in their order; several for a person with several open stays.

        Raises CitywellError for a question that there is not, or whose champion cannot answer.
        """
        if missing := [name for name in ASKED if name not in asked.columns]:
            raise CitywellError(
                f"The request lacks {' and '.join(missing)}.",
                where="citywell serve",
                do='send {"dataframe_records": [{"person_key": "…", "question": "readmission_30d"}]}',
            )
        versions = _published()
        rows = [
            row
            for person, name in asked[list(ASKED)].itertuples(index=False)
            for row in self._answers(questions.load(str(name)), str(person), versions)
        ]
        told = pd.DataFrame(rows, columns=list(TOLD), dtype=object)
        return told.where(told.notna(), None)

    def _answers(self, risk: Risk, person: str, versions: dict[str, int]) -> list[dict[str, Any]]:
        base = {"person_key": person, "question": risk.name}
        holder = registry.champion(risk.name)
        if holder is None:
            return [{**base, "status": "no_champion"}]
        if risk.view.now not in versions:
            return [{**base, "status": "not_asked"}]
        version = versions[risk.view.now]
        found = _of_population(self._of_person(risk.view.now, version, person), risk.population)
        if not found.num_rows:
            return [{**base, "status": "not_asked"}]
        found = found.append_column("input_digest", pa.nulls(found.num_rows, pa.string()))
        chunks = scoring.score(
            self._model(risk, holder),
            risk.question,
            [found],
            data_versions={risk.view.now: version},
            scored_at=datetime.now(UTC),
            valid_days=risk.valid_days or risk.horizon_days,
        )
        told = pa.concat_tables(chunks).to_pylist()
        return [
            {
                **row,
                **base,
                "status": "answered",
                "as_of": row["as_of"].isoformat(),
                "features_version": version,
            }
            for row in told
        ]

    def _of_person(self, table: str, version: int, person: str) -> pa.Table:
        held = self._tables.get(table)
        if held is None or held[0] != version:
            rows = DeltaTable(str(tables.path_of(table)), version=version).to_pyarrow_table()
            held = self._tables[table] = (version, rows)
        return held[1].filter(pc.equal(held[1]["person_key"], person))

    def _model(self, risk: Risk, holder: Version) -> registry.Model:
        held = self._models.get(holder.name)
        if held is None or held.version.number != holder.number:
            held = self._models[holder.name] = meaning.load(risk, holder)
        return held


def _published() -> dict[str, int]:
    with control.connect() as conn:
        return control.current_versions(conn)


def _of_population(rows: pa.Table, population: str) -> pa.Table:
    with duckdb.connect() as db:
        db.register("rows", rows)
        return db.sql(f"select * from rows where {population}").to_arrow_table()  # noqa: S608


@contextmanager
def app(names: Sequence[str]) -> Iterator[Any]:
    """MLflow's scoring server (ASGI) for the desk. names: questions that are tried first, so that what is wrong shows
    now.

    Raises CitywellError when one of them cannot be loaded, or has learnt features that mean something else now, or
    MLflow does not answer.
    """
    for name in names:
        risk = questions.load(name)
        if (holder := registry.champion(risk.name)) is not None:
            meaning.load(risk, holder)
    with connected(None) as mlflow, tempfile.TemporaryDirectory() as directory:
        from mlflow.pyfunc import scoring_server

        place = Path(directory) / "model"
        mlflow.pyfunc.save_model(
            str(place),
            python_model=str(Path(__file__).with_name("serving_model.py")),
            signature=_signature(mlflow),
            pip_requirements=[],
        )
        yield scoring_server.init(mlflow.pyfunc.load_model(str(place)))


def _signature(mlflow: Any) -> Any:
    from mlflow.types import ColSpec, Schema

    return mlflow.models.ModelSignature(inputs=Schema([ColSpec("string", name) for name in ASKED]))
