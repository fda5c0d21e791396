"""``citywell demo`` as a person runs it: twice, then with records that fail, then down; and where names may be then."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pytest

from infra.stack import leftovers
from infra.stack.ports import check_free
from infra.stack.services import services
from jobs.settings import Settings
from tests.support import search
from tests.support.installation import Installation, installed

pytestmark = pytest.mark.slow

PARTS = (
    "Records",
    "Tables",
    "Checks",
    "Model",
    "Scores",
    "Seconds",
    "Airflow",
    "MLflow",
    "Data Docs",
    "City report",
)
VERIFY = """
from dataclasses import asdict
import json
from jobs.writeback import tasks
print(json.dumps({source: asdict(seen) for source, seen in tasks.verify_hospitals("2026-01-01T00:00:00Z").items()}))
"""


@dataclass
class Story:
    """What was said at each step, what is planted, by kind, and what of it was found outside landing and vault:
    (step and place, word); in_vault: words found there."""

    installation: Installation
    first: subprocess.CompletedProcess[str]
    second: subprocess.CompletedProcess[str]
    verified: subprocess.CompletedProcess[str]
    bad: subprocess.CompletedProcess[str]
    down: subprocess.CompletedProcess[str]
    page: str
    canaries: Mapping[str, set[str]]
    found: list[tuple[str, str]]
    in_vault: set[str]


def told(ended: subprocess.CompletedProcess[str]) -> str:
    return f"{ended.stdout}\n{ended.stderr}"


def bad_records(directory: Path, canaries: Iterable[str]) -> Path:
    """Patients of which more are spoiled than a batch may hold, with a canary in every place that one may break."""
    directory.mkdir()
    lines = []
    for n, canary in enumerate(canaries):
        good = {"resourceType": "Patient", "id": f"p{n}", "gender": "female", "birthDate": "1950-03-17"}
        spoiled = [
            json.dumps({**good, "gender": canary}),
            json.dumps({**good, "birthDate": canary}),
            json.dumps({**good, "deceasedBoolean": canary}),
            json.dumps({**good, "meta": {"lastUpdated": canary}}),
            json.dumps({**good, "id": None, "name": [{"family": canary}]}),
            json.dumps({**good, "name": canary})[:-1],
            f'{{"resourceType": "{canary}"}}',
            canary,
        ]
        lines.append(json.dumps(good) if n % 4 == 0 else spoiled[n % len(spoiled)])
    (directory / "Patient.ndjson").write_text("\n".join(lines) + "\n")
    return directory


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    """The city as it comes: of a smaller one no model passes the gate, and nobody would be scored."""
    with installed(COLUMNS="100", TERM="dumb") as installation:
        first = installation.citywell("demo")
        assert first.returncode == 0, told(first)
        second = installation.citywell("demo")
        assert second.returncode == 0, told(second)
        verified = installation.python(VERIFY)
        canaries = search.planted(installation.home)
        words = sorted(set().union(*canaries.values()))
        found = [(f"after two demos: {place}", word) for place, word in _search(installation, words)]
        breaking = [word for word in words if word not in canaries["birth_dates"]]
        bad_data = bad_records(installation.home.parent / "bad", breaking)
        bad = installation.citywell("demo", "--hospital-data", str(bad_data))
        found += [(f"after a failed run: {place}", word) for place, word in _search(installation, words)]
        kept = search.found(words, search.tables(installation.postgres, search.VAULT))
        in_vault = {word for _, word in kept}
        page = (installation.home / "reports" / "city.html").read_text()
        down = installation.citywell("down")
        yield Story(installation, first, second, verified, bad, down, page, canaries, found, in_vault)


def _search(installation: Installation, words: Iterable[str]) -> list[tuple[str, str]]:
    home = installation.home
    elsewhere = chain.from_iterable(search.below(place, home.parent) for place in installation.elsewhere)
    texts = (chain(search.files(home), elsewhere), search.databases(installation.postgres))
    return [hit for part in texts for hit in search.found(words, part)]


def test_it_ends_with_everything_that_came_of_it(story: Story) -> None:
    for ended in (story.first, story.second):
        summary = ended.stdout.partition("\nRecords ")[2]
        assert all(re.search(rf"^{part}\b", f"Records {summary}", re.MULTILINE) for part in PARTS), (
            ended.stdout
        )
        assert max(map(len, summary.partition("\nAirflow ")[0].splitlines())) <= 100
        assert "AUROC" in summary
    assert "<h1>City report</h1>" in story.page


def test_a_second_demo_lives_one_more_day(story: Story) -> None:
    days = [re.findall(r"The city's clock: (\S+)", ended.stdout)[0] for ended in (story.first, story.second)]
    assert days[0] < days[1]
    received = [_received(ended.stdout) for ended in (story.first, story.second)]
    assert 0 < received[0] < received[1] < 2 * received[0]


def _received(text: str) -> int:
    return int(re.findall(r"^received .* ([\d,]+)$", text, re.MULTILINE)[0].replace(",", ""))


def test_the_hospitals_hold_the_scores_of_the_lake(story: Story) -> None:
    assert story.verified.returncode == 0, told(story.verified)
    verified = json.loads(story.verified.stdout.splitlines()[-1])
    assert sum(seen["expected"] for seen in verified.values()) > 10
    assert all(seen["matching"] == seen["expected"] for seen in verified.values()), verified


def test_a_bad_batch_ends_the_demo_with_its_name_and_what_to_do(story: Story) -> None:
    assert story.bad.returncode == 1
    assert "each.load [hospital_given]" in story.bad.stderr
    assert "checks failed" in story.bad.stderr
    assert "  do: " in story.bad.stderr
    assert "Traceback" not in story.bad.stderr
    assert "each.load [hospital_north] success" in story.bad.stdout


def test_no_planted_name_phone_or_id_is_outside_landing_and_vault(story: Story) -> None:
    assert story.found == []
    words = set().union(*story.canaries.values())
    seen = [("what a person sees", told(ended).encode()) for ended in (story.first, story.bad)]
    assert search.found(words, seen) == []


@pytest.mark.parametrize("kind", search.OF_PATIENTS)
def test_what_is_planted_is_in_the_vault(story: Story, kind: str) -> None:
    assert story.canaries[kind] & story.in_vault


def test_down_leaves_nothing_running(story: Story) -> None:
    assert story.down.returncode == 0, told(story.down)
    assert leftovers.find(story.installation.home) == []
    ports = {f"{name.lower()}_port": port for name, port in story.installation.ports.items()}
    config = Settings(home=story.installation.home, **ports)
    for service in services(config):
        for program in service.programs:
            check_free(program, config.host)
