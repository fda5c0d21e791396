"""``citywell people``: which records are of one person. Pseudonyms only, unless identities are asked for."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    no_args_is_help=True, help="Which records are of one person: link, review, merge, split, undo."
)
review = typer.Typer(no_args_is_help=True, help="Pairs of records that wait for somebody to decide.")
app.add_typer(review, name="review")

Patient = Annotated[str, typer.Argument(metavar="PATIENT", help="A patient_key, as in silver.person_link.")]
Other = Annotated[str, typer.Argument(metavar="OTHER", help="Another patient_key.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the audit.")]
Identities = Annotated[
    bool,
    typer.Option(
        "--identities", help="Show who the patients are. Leaves a row in the vault's audit of readings."
    ),
]
Purpose = Annotated[str | None, typer.Option(help="What the identities are needed for; kept in the audit.")]
_NEXT = "The lake shows it after the next `citywell people link`, gold and scores after the next transform and score."


@app.command()
def link(
    full: Annotated[
        bool, typer.Option("--full", help="Fit the model anew and score everybody, not only who is new.")
    ] = False,
) -> None:
    """Link who is new, and take persons that have changed into the lake."""
    from jobs.identity.linkage import task

    result = task.run(datetime.now(UTC).replace(microsecond=0).isoformat(), full=full)
    typer.echo(json.dumps(result, indent=1))


@app.command()
def merge(one: Patient, other: Other, reason: Reason) -> None:
    """Two patients are one person, whatever their records score."""
    from jobs.identity import linkage

    with linkage.connect() as conn:
        audit_id = linkage.merge(conn, one, other, reason, actor=_actor())
    typer.echo(f"change {audit_id}. {_NEXT}")


@app.command()
def split(
    patients: Annotated[list[str], typer.Argument(metavar="PATIENT…", help="patient_keys of one person.")],
    reason: Reason,
) -> None:
    """These patients are a person of their own, apart from the others of their person."""
    from jobs.identity import linkage

    with linkage.connect() as conn:
        audit_id = linkage.split(conn, patients, reason, actor=_actor())
    typer.echo(f"change {audit_id}. {_NEXT}")


@app.command()
def undo(
    change: Annotated[
        int, typer.Argument(metavar="CHANGE", help="A change, as in `citywell people history`.")
    ],
    reason: Reason,
) -> None:
    """Take a change back, whoever or whatever made it."""
    from jobs.identity import linkage

    with linkage.connect() as conn:
        undone = linkage.unmerge(conn, change, reason, actor=_actor())
    exact = (
        "everybody is who they were"
        if undone.is_exact
        else "newer records or decisions say something else of some"
    )
    typer.echo(f"change {undone.audit_id}: {exact}. {_NEXT}")


@app.command()
def history(
    patient: Annotated[
        str | None, typer.Argument(metavar="[PATIENT]", help="A patient_key; default: everybody.")
    ] = None,
    limit: Annotated[int, typer.Option(help="So many changes, the newest first.")] = 50,
) -> None:
    """Changes of who is one person: when, by whom, why, which persons became which, and the messages that told it."""
    from rich.console import Console

    from infra.cli.listing import print_list
    from jobs.identity import linkage

    with linkage.connect() as conn:
        changes = linkage.history(conn, patient, limit=limit)
    rows = [
        (
            change.audit_id,
            f"{change.at:%Y-%m-%d %H:%M:%S}",
            change.kind if change.undoes is None else f"undo of {change.undoes}",
            change.actor,
            change.reason,
            len(change.before),
            " ".join(sorted({row[0] for row in change.before.values()})),
            " ".join(sorted({row[0] for row in change.after.values()})),
            _messages(change.told_after, change.told_before),
        )
        for change in changes
    ]
    headings = (
        *("change", "at (UTC)", "kind", "who", "why", "patients", "persons before", "persons after"),
        "told in",
    )
    print_list(Console(), headings, rows)


@app.command()
def train(
    answer_key: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="City whose answer key labels the sample, such as .citywell/city. Default: no new thresholds.",
        ),
    ] = None,
) -> None:
    """Train the linkage model on the records in the vault and put it into use; the next link scores everybody anew.

    Thresholds are chosen where it is known who is who; else those in use stay.
    """
    from infra.linkage_model import train_in_vault
    from jobs.identity import linkage

    with linkage.connect() as conn:
        model_id, evidence = train_in_vault(conn, answer_key, actor=_actor())
    typer.echo(f"model {model_id}: {json.dumps(evidence)}")


@review.command("list")
def list_review(
    identities: Identities = False,
    purpose: Purpose = None,
    limit: Annotated[int, typer.Option(help="So many pairs, the most probable first.")] = 50,
) -> None:
    """The pairs, most probable first: match weight in bits, and why they were not joined."""
    from rich.console import Console

    from infra.cli.listing import print_list
    from jobs.errors import CitywellError
    from jobs.identity import linkage, vault

    if identities and not purpose:
        raise CitywellError(
            "Identities are shown for a purpose only", where="--identities", do='say it: --purpose "…"'
        )
    with linkage.connect() as conn:
        pairs = linkage.review(conn)[:limit]
        keys = sorted({key for pair in pairs for key in (pair.key_a, pair.key_b)})
        access = vault.Access(_actor(), purpose or "", "citywell people review")
        who = linkage.describe(conn, keys, access) if identities and keys else {}
    headings = ["patient", "other", "weight", "why", "since (UTC)"]
    rows = [
        [pair.key_a, pair.key_b, f"{pair.weight:.1f}", pair.why, f"{pair.queued_at:%Y-%m-%d %H:%M}"]
        for pair in pairs
    ]
    if identities:
        headings += ["patient is", "other is"]
        for row, pair in zip(rows, pairs, strict=True):
            row += [_words(who.get(key, {}).values()) for key in (pair.key_a, pair.key_b)]
    print_list(Console(), headings, rows)


@review.command()
def accept(one: Patient, other: Other, reason: Reason = "accepted in review") -> None:
    """They are one person."""
    merge(one, other, reason)


@review.command()
def reject(one: Patient, other: Other, reason: Reason = "rejected in review") -> None:
    """They are not one person."""
    from jobs.identity import linkage

    with linkage.connect() as conn:
        audit_id = linkage.reject(conn, one, other, reason, actor=_actor())
    typer.echo(f"change {audit_id}. {_NEXT}")


def _messages(after: Iterable[list[Any]], before: Iterable[list[Any]]) -> str:
    """What told a change, by kind and key (``admission_key`` of a message, ``patient_key`` of a record); of what is
    told no more, what had told it."""
    former = {(one, other): words for one, other, *words in before}
    told = [words or former[one, other] for one, other, *words in after]
    return "; ".join(sorted({f"{kind} {key}" for *_, kind, key in told}))


def _actor() -> str:
    return f"{getpass.getuser()} (citywell people)"


def _words(texts: Iterable[str]) -> str:
    return ", ".join(text for text in texts if text)
