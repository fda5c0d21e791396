"""Makes the linkage model that comes with Citywell (``python -m infra.linkage_model [FILE]``), or one for the vault.

Trained on one simulated city without its answer key; thresholds chosen with the key; then judged on a city of another
seed. What goes into the file holds parameters and counts, no value of a person.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra.city.city import City
from infra.city.habits import HOSPITALS
from infra.city.options import Options
from jobs.errors import CitywellError
from jobs.identity import vault
from jobs.identity.demographics import of_patient
from jobs.identity.linkage import labelled, models, scoring
from jobs.identity.linkage.clusters import Thresholds
from jobs.identity.linkage.records import RECORD_SCHEMA
from jobs.identity.linkage.running import everybody
from jobs.identity.pseudonyms import Pseudonymiser, load_key
from jobs.settings import settings

FILE = Path(__file__).resolve().parent.parent / "jobs" / "identity" / "linkage" / "default_model.json"
POPULATION, YEARS = 40_000, 0.05
TRAINED_ON, JUDGED_ON = 11, 12


def city_people(root: Path) -> tuple[pa.Table, dict[str, int]]:
    """The Patients of a city (RECORD_SCHEMA, keys ``source|id``), as they are last served, and the person of each by
    the answer key. Raises CitywellError when ``root`` has no such city."""
    key_file = root / "answer_key" / "persons.parquet"
    if not key_file.is_file():
        raise CitywellError(
            "There is no answer key of a simulated city",
            where=str(key_file),
            do="name the city's directory, `city` in the data directory, or leave the answer key out",
        )
    newest: dict[str, tuple[str, ...]] = {}
    for habits in HOSPITALS:
        for path in sorted((root / "segments").glob(f"*/{habits.name}/Patient.ndjson")):
            for line in path.read_bytes().splitlines():
                patient = msgspec.json.decode(line)
                said = of_patient(patient, habits.source)._asdict()
                key = f"{habits.source}|{patient['id']}"
                fields = (said[name] for name in RECORD_SCHEMA.names[2:])
                newest[key] = (key, habits.source, *fields)
    columns = zip(*newest.values(), strict=True)
    records = pa.table([pa.array(c, pa.string()) for c in columns], schema=RECORD_SCHEMA)
    rows = pq.read_table(key_file).to_pylist()
    truth = {f"{row['source']}|{row['patient_id']}": row["person_id"] for row in rows}
    return records, {key: truth[key] for key in newest}


def trained(
    records: pa.Table, truth: Mapping[str, object]
) -> tuple[dict[str, Any], Thresholds, dict[str, Any]]:
    """Settings, thresholds and their evidence from a labelled sample."""
    settings = scoring.train(records)
    pairs_per_record = len(labelled.true_pairs(truth)) / records.num_rows
    model = scoring.calibrated(records, settings, pairs_per_record)
    pairs = scoring.pairs_of(scoring.score(records, model, least_weight=labelled.LOWEST_REVIEW).pairs)
    patients = scoring.patients_of(records)
    thresholds = labelled.choose(pairs, truth, patients)
    evidence = {
        "records": records.num_rows,
        "pairs_per_record": round(pairs_per_record, 4),
        "chosen_on": labelled.judge(pairs, truth, patients, thresholds),
    }
    return settings, thresholds, evidence


def judged(
    records: pa.Table, truth: Mapping[str, object], settings: Mapping[str, Any], thresholds: Thresholds
) -> dict[str, Any]:
    """What a model gives on another labelled sample."""
    model = scoring.calibrated(records, settings, 0.0)
    pairs = scoring.pairs_of(scoring.score(records, model, least_weight=thresholds.review).pairs)
    return labelled.judge(pairs, truth, scoring.patients_of(records), thresholds)


def train_in_vault(conn: vault.Connection, city: Path | None, *, actor: str) -> tuple[int, Mapping[str, Any]]:
    """Train on the records in the vault and put the model into use; its id and evidence.

    city: directory of the simulated city whose answer key says who is who; thresholds are then chosen anew, else those
    in use stay, with what they rest on.
    """
    records = everybody(conn, f"train a linkage model: {actor}")
    if city is not None:
        master = load_key(settings().keys_dir / "pseudonym.key")
        rows = pq.read_table(city / "answer_key" / "persons.parquet").to_pylist()
        makers = {source: Pseudonymiser(master, source) for source in {row["source"] for row in rows}}
        truth = {makers[row["source"]].key("Patient", row["patient_id"]): row["person_id"] for row in rows}
        known = [key for key in records["patient_key"].to_pylist() if key in truth]
        sample = records.filter(pc.is_in(records["patient_key"], value_set=pa.array(known, pa.string())))
        new_settings, thresholds, evidence = trained(sample, {key: truth[key] for key in known})
        origin = f"answer key of {city}"
    else:
        before = models.current(conn)
        new_settings, thresholds = scoring.train(records), before.thresholds
        evidence = {**before.evidence, "trained_on_records": records.num_rows}
        origin = f"thresholds of model {before.model_id}"
    return models.store(conn, new_settings, thresholds, evidence, actor=actor, origin=origin), evidence


def main(file: Path = FILE) -> None:
    with tempfile.TemporaryDirectory() as directory:
        samples = {}
        for seed in (TRAINED_ON, JUDGED_ON):
            root = Path(directory) / str(seed)
            City.open(root, Options(population=POPULATION, seed=seed, years=YEARS)).close()
            samples[seed] = city_people(root)
    settings, thresholds, evidence = trained(*samples[TRAINED_ON])
    evidence["judged_on"] = judged(*samples[JUDGED_ON], settings, thresholds)
    evidence["source"] = (
        f"simulated cities of {POPULATION:,} people, seeds {TRAINED_ON} (trained, chosen) and {JUDGED_ON} (judged)"
    )
    model = {"evidence": evidence, "thresholds": asdict(thresholds), "settings": settings}
    file.write_bytes(msgspec.json.format(msgspec.json.encode(model), indent=1) + b"\n")
    sys.stdout.write(f"{file}: {evidence}\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
