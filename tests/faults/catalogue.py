"""The fault catalogue: what goes wrong, how it is injected, what is promised after it, and the test that shows it.

After every fault: receipts balance, a re-run gives the same rows, no unchecked row is visible
(tests/support/promises.py). ``python -m tests.faults.catalogue`` writes README.md, the same table for people.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Engines = Literal["none", "sail", "both"]
README = Path(__file__).with_name("README.md")


@dataclass(frozen=True)
class Fault:
    """One row. engines: on which its tests run; none where no engine is involved. A row without tests is planned."""

    number: int
    group: str
    fault: str
    injection: str
    promise: str
    tests: tuple[str, ...] = ()
    engines: Engines = "sail"

    @property
    def status(self) -> Literal["tested", "planned"]:
        return "tested" if self.tests else "planned"

    @property
    def nodes(self) -> list[str]:
        """The tests as pytest names them below tests/, on each engine."""
        names = ("sail", "spark") if self.engines == "both" else ("sail",)
        return list(dict.fromkeys(test.replace("{engine}", name) for test in self.tests for name in names))


BULK = "unit/extract/bulk/"
LINE = "faults/test_bad_input.py::test_a_bad_line_is_quarantined_with_its_rule_and_without_its_values"
ODD = "faults/test_bad_input.py::test_the_odd_but_valid_is_published"
VERSIONS = "faults/test_versions.py::test_the_newest_version_wins"
NETWORK = "faults/test_network.py::test_the_next_run_leaves_no_trace_of_it"
INCOMPLETE = f"{BULK}test_bulk_files_that_fail.py::test_the_rest_lands_and_the_watermark_stays"
DERIVED = "faults/test_damaged_tables.py::test_what_the_log_can_be_without_is_mended"
LOST = "faults/test_damaged_tables.py::test_what_cannot_be_mended_is_named"
MERGED = "faults/test_merged_patients.py"
STOPPED = "faults/test_stopped_batches.py::"
LOADS = "faults/test_stopped_loads.py::"
DRIFT = "faults/test_schema_drift.py::test_"
_NEXT_RUN = (
    "faults/test_killed_loads.py::test_a_{}_of_a_killed_run_is_published_once_by_whichever_run_comes_next"
)
_NO_TRAILER = (
    "data2-the file has no trailer (FTS): it may have been cut off",
    "data3-batch 2 has no trailer (BTS): it may have been cut off",
)
LISTENER = "unit/extract/mllp/test_listener.py::test_"
_OTHER_COLUMN = "a_column_that_is_not_what_was_declared_stops_the_source"
_RESENT = "unit/hl7/test_records.py::test_a_resend_has_the_key_of_the_first_and_another_sender_has_not"

QUARANTINED = "quarantined with file, line, hash and rule, without its values; its neighbours are published"
PUBLISHED = "published, by a declared rule; never coerced"
NEWEST = "the newest version wins, tombstones stay, in any order of arrival"
CONVERGES = "the run after it converges: no duplicate, no gap, nothing shown before its publication"
REST_LANDS = "the rest lands and is published; the watermark stays, and the next export brings the same span"
ONE_WINS = "one wins, the other is refused or comes again; no update is lost"
WAITS = "the task waits or fails clean, with what to do; the next run ends alike"
OLD_STAYS = "the old version stays readable; said as a full disk; goes on once there is space"

_STAGES = {
    "kick-off": "the note of the server's job",
    "poll": "the manifest of the export",
    "download": "the record of a landed file",
    "land": "the batch's manifest and status",
    "read": "rows in bronze",
    "row rules": "rows in quality.quarantine",
    "checks": "the verdict in quality.validations",
    "link": "identities in the vault",
    "merge": "rows in silver",
    "dbt": "the publication of gold",
    "publish": "the control transaction",
    "write-back": "rows in serving.risk",
}
_MOMENTS = ("before", "during", "after")
_GOLD = dict(
    zip(
        _MOMENTS,
        ("gold:built", "before jobs.lake.control.publication._insert_publication gold", "gold:published"),
        strict=True,
    )
)
_SERVING = dict(zip(_MOMENTS, ("serving:staged-0", "serving:merged-0", "serving:loaded-2"), strict=True))


def _kills() -> Iterator[Fault]:
    """Rows 1 to 36: kill -9 at twelve stages, before, during and after the commit of each."""
    number = 0
    for stage, commit in _STAGES.items():
        for moment in _MOMENTS:
            number += 1
            if stage == "dbt":
                tests = (f"faults/test_killed_transforms.py::test_a_killed_transform[sail-{_GOLD[moment]}]",)
            elif stage == "write-back":
                place = "unit/writeback/test_kill_writeback.py::test_serving_is_loaded_whole_or_not_at_all"
                tests = (f"{place}[{_SERVING[moment]}]",)
            else:
                place = "faults/test_killed_ingests.py::test_the_run_after_a_kill_converges"
                tests = (f"{place}[{stage}-{moment}]",)
            yield Fault(
                number,
                "kill -9",
                f"{stage}: killed {moment} its commit ({commit})",
                "the job's process ends on the spot at a named point",
                CONVERGES,
                tests,
                "none" if stage == "write-back" else "sail",
            )


def _rows(
    group: str,
    injection: str,
    promise: str,
    rows: Iterable[tuple[int, str, tuple[str, ...]]],
    engines: Engines = "sail",
) -> Iterator[Fault]:
    """Rows that are injected in one way and promise the same."""
    for number, fault, tests in rows:
        yield Fault(number, group, fault, injection, promise, tests, engines)


def _planned(group: str, injection: str, promise: str, rows: dict[int, str]) -> Iterator[Fault]:
    return _rows(group, injection, promise, [(number, fault, ()) for number, fault in rows.items()], "none")


def _line(*names: str) -> tuple[str, ...]:
    return tuple(f"{LINE}[{name}-{{engine}}]" for name in names)


def _odd(*names: str) -> tuple[str, ...]:
    return tuple(f"{ODD}[{name}-{{engine}}]" for name in names)


def _version(*names: str) -> tuple[str, ...]:
    return tuple(f"{VERSIONS}[{name}-{{engine}}]" for name in names)


def _incomplete(unit: str, whole: str) -> tuple[str, ...]:
    return f"{INCOMPLETE}[{unit}]", f"{NETWORK}[{whole}]"


_SERVER = "a bulk server under control answers so"
_EXPORT_LINE = "a line of an export among good ones"
_EXPORTS = "exports of three days that arrive out of order"

CATALOGUE: tuple[Fault, ...] = (
    *_kills(),
    *_rows(
        "network",
        _SERVER,
        "the wait is honoured, capped and jittered; the job's address is kept",
        [
            (
                37,
                "429 with seconds",
                (
                    f"{BULK}test_bulk_waiting.py::test_polling_waits_as_long_as_the_server_asks",
                    f"{NETWORK}[429 with seconds]",
                ),
            ),
            (
                38,
                "429 with an HTTP date",
                (
                    f"{BULK}test_bulk_waiting.py::test_polling_waits_as_long_as_the_server_asks",
                    f"{BULK}test_bulk_waiting.py::test_polling_never_spins[429-Sun, 01 Mar 2020 12:00:00 GMT]",
                ),
            ),
            (
                39,
                "429 with an epoch",
                (
                    f"{BULK}test_bulk_waiting.py::test_an_epoch_in_retry_after_is_capped_and_said",
                    f"{BULK}test_bulk_waiting.py::test_polling_never_spins[429-1000000000]",
                ),
            ),
            (
                40,
                "503 without a header",
                (
                    f"{BULK}test_bulk_waiting.py::test_polling_without_a_header_slows_down",
                    f"{NETWORK}[503 without a header]",
                ),
            ),
            (
                115,
                "polling that never ends",
                (
                    f"{BULK}test_bulk_waiting.py::test_polling_that_never_ends_raises_an_alarm_and_the_job_is_kept",
                ),
            ),
            (
                116,
                "a server that goes down while it is polled",
                (f"{BULK}test_bulk_waiting.py::test_a_server_that_goes_down_while_polled_keeps_its_job",),
            ),
        ],
        "none",
    ),
    *_rows(
        "tokens and clocks",
        _SERVER,
        "a new token, and the file starts again; or the cause is named with what to do",
        [
            (
                41,
                "401 in mid-file",
                (
                    f"{BULK}test_bulk_tokens.py::test_a_401_in_mid_file_renews_the_token_and_restarts_that_file",
                    f"{NETWORK}[401 in mid-file]",
                ),
            ),
            (
                42,
                "clocks ten minutes apart, either way",
                tuple(
                    f"unit/extract/test_smart_auth.py::test_clocks_ten_minutes_apart_are_the_diagnosis[{way}]"
                    for way in ("600-10 minutes ahead of ours", "-600-10 minutes behind ours")
                ),
            ),
            (
                43,
                "a reused jti",
                (
                    "unit/extract/test_smart_auth.py::test_other_refusals_are_told_apart"
                    "[invalid_client-this jti was used before-used before]",
                    "unit/extract/test_smart_auth.py::test_a_token_endpoint_that_is_busy_gets_a_new_assertion",
                ),
            ),
            (
                44,
                "a rotated key",
                ("unit/extract/test_smart_auth.py::test_a_key_the_server_no_longer_knows_is_the_diagnosis",),
            ),
        ],
        "none",
    ),
    *_rows(
        "files",
        _SERVER,
        REST_LANDS,
        [
            (
                45,
                "a truncated file",
                _incomplete("a file ends early as if all were well", "a file truncated for ever"),
            ),
            (
                46,
                "a count unlike the manifest's",
                _incomplete("a count is unlike the manifest", "a count unlike the manifest's"),
            ),
            (
                47,
                "an expired link",
                (
                    f"{BULK}test_bulk_files_that_fail.py::test_an_expired_link_restarts_the_export[410]",
                    f"{NETWORK}[a link that has expired]",
                ),
            ),
            (
                48,
                "a file missing from the server",
                _incomplete("a file is missing from the server", "a file that is missing"),
            ),
            (49, "a non-empty error list", _incomplete("the server reports errors", "errors of the server")),
            (
                50,
                "the same manifest twice",
                ("faults/test_network.py::test_the_same_export_offered_again_is_duplicates",),
            ),
            (
                117,
                "a connection cut in mid-file",
                (
                    f"{BULK}test_bulk_files_that_fail.py::test_a_cut_connection_restarts_that_file",
                    f"{NETWORK}[a connection cut in mid-file]",
                ),
            ),
            (
                118,
                "a file truncated once",
                (
                    f"{BULK}test_bulk_files_that_fail.py::test_a_file_short_of_lines_once_is_fetched_again",
                    f"{NETWORK}[a file truncated once]",
                ),
            ),
            (
                119,
                "an export the server has forgotten",
                (
                    f"{BULK}test_bulk_files_that_fail.py::test_a_job_the_server_has_forgotten_is_replaced",
                    f"{NETWORK}[an export the server has forgotten]",
                ),
            ),
            (
                120,
                "a page of HTML in the place of a file",
                (
                    f"{BULK}test_bulk_files_that_fail.py::test_a_page_sent_in_a_files_place_does_not_land"
                    "[text/html; charset=utf-8]",
                ),
            ),
            (
                121,
                "a gzip stream cut off",
                (f"{BULK}test_bulk_gzip.py::test_a_gzip_stream_cut_off_is_fetched_again",),
            ),
        ],
    ),
    *_rows(
        "records",
        _EXPORT_LINE,
        QUARANTINED,
        [
            (51, "a corrupt line", _line("corrupt line")),
            (
                52,
                "blank lines, byte order mark, CRLF; a bare CR between objects",
                (*_line("bare CR between objects"), *_odd("CRLF")),
            ),
            (53, "invalid UTF-8", _line("invalid utf-8")),
            (54, "a NUL", _line("a raw NUL", "an escaped NUL")),
            (
                55,
                "duplicate keys, at the top and deep inside",
                _line("duplicate keys", "duplicate keys deep inside"),
            ),
            (56, "single quotes, 1e400", _line("single quotes", "1e400")),
            (57, "text after the object", _line("text after the object")),
            (122, "a second object on the line", _line("a second object on the line")),
            (123, "an array", _line("an array")),
            (124, "a record of another type", _line("wrong resource type")),
            (125, "a record without id", _line("missing id")),
        ],
        "both",
    ),
    *_rows("records", _EXPORT_LINE, PUBLISHED, [(58, "a resource of 50 MB", _odd("50 MB resource"))], "both"),
    *_rows(
        "records",
        _EXPORTS,
        NEWEST,
        [
            (59, "an exact duplicate", _version("an exact duplicate in every export")),
            (60, "the same id in a newer version", _version("the same id in a newer version")),
            (61, "a late version", _version("a version that comes late")),
            (62, "versions out of order", _version("versions out of order in one file")),
            (63, "a deletion bundle", _version("a deletion bundle")),
            (64, "deleted, then alive again", _version("deleted, then alive again")),
            (126, "an exact duplicate on the next line", _version("an exact duplicate on the next line")),
            (
                127,
                "a version that goes back to earlier content",
                _version("a version that goes back to earlier content"),
            ),
            (128, "a deletion of one never sent", _version("a deletion of one never sent")),
            (
                129,
                "a deletion that comes before the record",
                _version("a deletion that comes before the record"),
            ),
            (
                130,
                "a deletion and a version of one instant",
                _version("a deletion and a version of one instant"),
            ),
        ],
        "both",
    ),
    *_rows(
        "records",
        "random histories of 150 people, in three orders of arrival",
        NEWEST,
        [
            (131, "any order of exports", ("faults/test_order_of_arrival.py::test_any_order_of_exports[1]",)),
            (
                132,
                "an instant of the record's own beside the same of its export",
                tuple(
                    "faults/test_order_of_arrival.py::test_of_two_claims_to_one_instant_the_record_that_brings_it_stands"
                    f"[order{n}]"
                    for n in range(2)
                ),
            ),
            (
                133,
                "a retraction and a claim of one instant",
                (
                    "faults/test_retraction.py::test_entered_in_error_wins_over_a_claim_of_the_same_instant[sail]",
                ),
            ),
            (
                134,
                "a deletion named twice",
                ("faults/test_retraction.py::test_a_deletion_named_twice_is_one[sail]",),
            ),
            (135, "snapshots in any order", ("faults/test_absence.py::test_any_order_of_snapshots",)),
        ],
    ),
    *_rows(
        "schema drift",
        "a source that sends other columns than it declares",
        "additions are kept and announced, unknown values held back; the rest stops that source alone, by name",
        [
            (65, "a column added", (f"{DRIFT}a_column_added_is_kept_and_announced[sail]",)),
            (66, "a column removed", (f"{DRIFT}{_OTHER_COLUMN}[sail-removed]",)),
            (67, "a column retyped", (f"{DRIFT}{_OTHER_COLUMN}[sail-retyped]",)),
            (68, "columns reordered", (f"{DRIFT}columns_in_another_order_are_no_trouble[sail]",)),
            (69, "a column renamed", (f"{DRIFT}{_OTHER_COLUMN}[sail-renamed]",)),
            (
                70,
                "an unknown enumeration value",
                (f"{DRIFT}an_unknown_value_of_an_enumeration_is_held_back_alone[sail]",),
            ),
        ],
    ),
    *_rows(
        "values",
        _EXPORT_LINE,
        QUARANTINED,
        [
            (71, "NaN and infinity", _line("NaN", "Infinity")),
            (72, "years 1800 and 2999", _line("year 1800", "year 2999")),
            (
                73,
                "the hour a clock change skips or repeats",
                (
                    *_line("a local time that a clock change skips"),
                    *_odd("a local time that a clock change repeats"),
                ),
            ),
            (
                75,
                "a decimal that overflows",
                (*_line("a decimal of forty digits"), *_odd("a decimal of thirty digits")),
            ),
            (136, "a date that is none, or empty", _line("unparsable date", "empty date")),
            (137, "digits of another script", _line("digits of another script")),
            (138, "the first and the last year there is", _line("first year there is", "last year there is")),
            (139, "an integer beyond the format's", _line("integer beyond FHIR's")),
            (140, "an end before the start", _line("an end before the start")),
            (141, "a number as text, text as a number", _line("number as text", "text as number")),
            (142, "a missing and an unknown status", _line("missing status", "unknown status")),
            (143, "no patient", _line("no subject")),
            (144, "an implausible value", _line("implausible value")),
            (145, "a version from the future", _line("version from the future")),
        ],
        "both",
    ),
    *_rows(
        "values",
        "a person's measurements, among them one whose unit cannot be its own",
        "held back from gold with its reason, kept as received in silver; its neighbours are published",
        [
            (
                74,
                "the unit of another quantity",
                ("unit/dbt/test_harmonised.py::test_what_cannot_be_told_is_held_back_and_says_why",),
            )
        ],
    ),
    *_rows(
        "values",
        _EXPORT_LINE,
        PUBLISHED,
        [
            (76, "an unknown code", _odd("unknown code system")),
            (77, "a dangling reference", _odd("dangling reference")),
            (146, "a date of a month alone", _odd("partial date")),
        ],
        "both",
    ),
    *_rows(
        "values",
        "dates of a day, month or year from a source in Tokyo",
        "not known before the period has passed where the source is",
        [
            (
                147,
                "partial dates",
                tuple(
                    f"faults/test_partial_dates.py::test_known_when_the_period_has_passed[{resource}-{{engine}}]"
                    for resource in (
                        "Encounter",
                        "Condition",
                        "Observation",
                        "MedicationRequest",
                        "Immunization",
                    )
                ),
            )
        ],
        "both",
    ),
    *_rows(
        "values",
        "references and deletions that name another server",
        "they join with nothing here and delete nothing here",
        [
            (
                148,
                "references to another server",
                ("faults/test_addresses.py::test_a_reference_joins_with_its_own_server_only[sail]",),
            ),
            (
                149,
                "deletions of another server's records",
                (
                    "faults/test_addresses.py::test_only_what_a_deletion_bundle_says_of_this_server_is_deleted[sail]",
                ),
            ),
        ],
    ),
    *_rows(
        "values",
        "an A40 in a file of messages, and a Patient.link",
        "re-keyed, and reversible row for row",
        [
            (
                78,
                "a merged patient",
                (
                    f"{MERGED}::test_a40_rekeys_history_and_features_and_a37_restores_every_table[sail]",
                    f"{MERGED}::test_a_merge_waits_for_its_patient_and_outlives_the_record_that_was_given_up[sail]",
                    f"{MERGED}::test_a_link_of_a_patients_record_is_heeded_as_long_as_it_is_there[sail]",
                    f"{MERGED}::test_a_message_that_is_told_anew_takes_back_what_it_said[sail]",
                ),
            )
        ],
    ),
    *_rows(
        "HL7 transport",
        "a sender over MLLP, and batch files",
        "acknowledged only once it is safe, and one record however often it comes; what is cut is told",
        [
            (
                79,
                "odd separators",
                (
                    f"{LISTENER}a_conversation",
                    "unit/hl7/test_parsing.py::test_any_text_survives_any_separators",
                ),
            ),
            (
                80,
                "a batch without trailer",
                tuple(
                    f"unit/hl7/test_parsing.py::{test}"
                    for test in (
                        *(f"test_an_envelope_that_does_not_agree_says_so[{name}]" for name in _NO_TRAILER),
                        "test_a_message_that_a_cut_batch_ends_in_is_rejected_alone",
                    )
                ),
            ),
            (81, "a resend", (f"{LISTENER}a_conversation", _RESENT)),
            (
                82,
                "a lost ACK",
                (f"{LISTENER}a_listener_killed_anywhere_has_everything_it_acknowledged", _RESENT),
            ),
            (
                83,
                "a message cut in two",
                (
                    f"{LISTENER}a_conversation",
                    "unit/extract/mllp/test_framing.py::test_blocks_are_the_same_however_the_bytes_arrive",
                ),
            ),
        ],
        "none",
    ),
    *_rows(
        "disk",
        "a small tmpfs, filled",
        OLD_STAYS,
        [
            (
                84,
                "full under the landing",
                (
                    "unit/lake/test_landing.py::test_a_disk_that_fills_up_on_the_way_keeps_what_was_there[1m]",
                    f"{BULK}test_bulk_files_that_fail.py::test_a_full_disk_stops_the_run_and_a_re_run_goes_on",
                ),
            ),
            (
                88,
                "full under PostgreSQL",
                ("faults/test_servers_down.py::test_the_disk_of_the_databases_is_full",),
            ),
        ],
    ),
    *_rows(
        "disk",
        "a small tmpfs, filled",
        OLD_STAYS,
        [
            (
                85,
                "full under a table's data",
                ("faults/test_full_lake.py::test_a_batch_that_finds_no_space[{engine}-16m]",),
            ),
            (
                86,
                "full under a table's log",
                ("faults/test_full_lake.py::test_a_commit_that_finds_no_space[{engine}-1m]",),
            ),
        ],
        "both",
    ),
    *_planned("disk", "a small tmpfs under Spark's scratch files", OLD_STAYS, {87: "full under the shuffle"}),
    *_rows(
        "concurrency",
        "a writer held back in the middle while another works",
        ONE_WINS,
        [
            (
                89,
                "two writers of one slice",
                ("contract/test_writers.py::test_of_two_writers_of_a_slice_one_loses[{engine}]",),
            ),
            (
                90,
                "a merge against a compaction",
                ("faults/test_concurrency.py::test_a_merge_against_a_compaction[{engine}]",),
            ),
            (
                91,
                "a vacuum against a reader",
                ("faults/test_concurrency.py::test_a_vacuum_against_a_reader[{engine}]",),
            ),
            (
                150,
                "two merges into one table",
                ("contract/test_writers.py::test_merges_at_once_lose_no_row[{engine}]",),
            ),
            (
                151,
                "one batch appended twice at once",
                (
                    "contract/test_writers.py::test_batches_are_appended_side_by_side_and_none_twice[{engine}]",
                ),
            ),
        ],
        "both",
    ),
    *_rows(
        "concurrency",
        "a run in another process, held at a named point",
        ONE_WINS,
        [
            (
                92,
                "a zombie task whose lock is gone",
                tuple(
                    f"faults/test_concurrency.py::test_a_zombie_whose_lock_is_gone_publishes_nothing[{point}]"
                    for point in ("staged", "judged", "before publish")
                ),
            ),
            (93, "a double trigger", ("faults/test_concurrency.py::test_a_double_trigger_loads_once",)),
            (
                94,
                "a backfill beside the daily run",
                ("faults/test_concurrency.py::test_a_backfill_beside_the_daily_run",),
            ),
            (95, "two schedulers", ("faults/test_concurrency.py::test_two_schedulers_start_one_export",)),
            (
                152,
                "maintenance beside a load",
                ("faults/test_concurrency.py::test_maintenance_beside_a_load_waits_for_its_merge",),
            ),
            (
                153,
                "maintenance between loads",
                ("faults/test_maintenance.py::test_rows_stay_and_later_loads_go_on[sail]",),
            ),
            (
                154,
                "a repair while a run is at work",
                ("faults/test_repair.py::test_a_repair_waits_for_no_other_run_of_its_source[sail]",),
            ),
            (
                155,
                "two repairs of one second",
                ("faults/test_repair.py::test_two_repairs_of_one_second_are_both_published[sail]",),
            ),
            (
                156,
                "a batch whose own run is at work",
                (f"{STOPPED}test_a_batch_whose_own_run_is_at_work_is_left_to_it",),
            ),
        ],
    ),
    *_rows(
        "concurrency",
        "a writer held back in the middle while another works",
        ONE_WINS,
        [
            (
                190,
                "loads of two sources that publish links at once",
                ("unit/identity/test_link_systems.py::test_two_systems_publish_their_links_at_once[sail]",),
            ),
        ],
    ),
    *_rows(
        "damaged tables",
        "a file of a table is cut, changed or taken away",
        "detected and named with table and version; the log's derived files are mended by maintenance",
        [
            (
                96,
                "a damaged _last_checkpoint",
                tuple(
                    f"{DERIVED}[{{engine}}-{harm}]"
                    for harm in (
                        "a hint that is no JSON",
                        "an empty hint",
                        "a hint at a checkpoint there is not",
                    )
                ),
            ),
            (
                97,
                "a damaged checkpoint",
                tuple(
                    f"{DERIVED}[{{engine}}-{harm}]"
                    for harm in ("a checkpoint cut off", "an empty checkpoint")
                ),
            ),
            (
                98,
                "a damaged crc",
                tuple(
                    f"{DERIVED}[{{engine}}-{harm}]"
                    for harm in ("a sum that is none", "a sum of a version there is not")
                ),
            ),
            (99, "a missing data file", (f"{LOST}[{{engine}}-a data file missing]",)),
            (157, "a data file cut off", (f"{LOST}[{{engine}}-a data file cut off]",)),
            (158, "a missing deletion vector", (f"{LOST}[{{engine}}-a deletion vector missing]",)),
            (
                159,
                "a commit missing or cut off",
                tuple(
                    f"{LOST}[{{engine}}-{harm}]"
                    for harm in ("a commit cut off", "a commit missing between others")
                ),
            ),
            (160, "the published commit missing", (f"{LOST}[{{engine}}-the published commit missing]",)),
        ],
        "both",
    ),
    *_rows(
        "damaged tables",
        "a data file of silver is deleted",
        "named by the load and by maintenance; put back, or taken from the source again, the rows are the same",
        [
            (
                161,
                "a lost file of the lake, with a backup",
                ("faults/test_damaged_tables.py::test_a_lost_file_of_the_lake_is_named_and_put_back",),
            ),
            (
                162,
                "a lost file of the lake, without a backup",
                (
                    "faults/test_damaged_tables.py::"
                    "test_without_a_backup_a_full_export_into_an_empty_lake_gives_the_same_people",
                ),
            ),
            (
                163,
                "damage in several tables",
                ("faults/test_damaged_tables.py::test_maintenance_mends_and_goes_on_with_the_other_tables",),
            ),
        ],
    ),
    *_rows(
        "servers down",
        "the server is shut, killed or not there",
        WAITS,
        [
            (
                100,
                "PostgreSQL down",
                (
                    *(
                        f"faults/test_servers_down.py::test_the_control_database_goes_down[{point}]"
                        for point in ("stage:patient", "judged", "merge:patient", "before publish")
                    ),
                    f"{STOPPED}test_a_vault_that_is_down_leaves_the_batches_for_the_next_run",
                ),
            ),
            (
                101,
                "the engine down",
                (
                    *(
                        f"faults/test_servers_down.py::test_the_engine_is_killed[{point}]"
                        for point in ("stage:patient", "judged", "record:quality.quarantine")
                    ),
                    "contract/test_writers.py::test_an_engine_that_is_down_is_named_at_once",
                    "faults/test_servers_down.py::"
                    "test_a_message_of_an_hour_without_an_engine_is_published_with_those_of_the_next",
                ),
            ),
            (102, "MLflow down", ("unit/ml/test_registry.py::test_an_mlflow_that_is_down_is_named",)),
            (
                103,
                "a hospital's server down",
                (
                    "pipeline/test_dags.py::test_a_hospital_that_is_down_stops_nobody_else[sail]",
                    f"{BULK}test_bulk_refusals.py::test_a_server_that_is_down_is_named",
                ),
            ),
            (
                104,
                "the webhook down",
                ("unit/test_alerts.py::test_a_webhook_that_refuses_or_is_away_stops_nothing",),
            ),
        ],
    ),
    *_rows(
        "servers down",
        "the client or the engine of a writer is killed in the middle of its rows",
        "the old version stays, and running again adds the rows once",
        [
            (
                164,
                "a killed client",
                (
                    "contract/test_writers.py::test_a_killed_client_leaves_nothing_that_a_new_run_does_not_mend[{engine}]",
                ),
            ),
            (
                165,
                "a killed engine",
                ("contract/test_writers.py::test_a_killed_engine_leaves_the_old_version[running_{engine}]",),
            ),
        ],
        "both",
    ),
    *_rows(
        "models",
        "a candidate or a registry that is so",
        "the gate refuses with a reason; the alias stays",
        [
            (105, "a bad model", ("unit/ml/test_gate.py::test_decisions[no better than chance]",)),
            (
                106,
                "a race for the champion alias",
                ("unit/ml/test_registry.py::test_a_lost_race_for_the_alias_is_judged_again",),
            ),
        ],
        "none",
    ),
    *_rows(
        "models",
        "features and labels that are so",
        "the gate refuses with a reason; the alias stays",
        [
            (
                107,
                "feature skew",
                (
                    "unit/ml/test_skew.py::test_a_model_of_a_skewed_table_is_refused_with_the_feature_named[sail]",
                ),
            ),
            (
                110,
                "poisoned labels",
                ("unit/ml/test_aliases.py::test_flipped_labels_are_refused_for_that_alone",),
            ),
        ],
        "none",
    ),
    *_rows(
        "models",
        "a measure that means something else from a day on",
        "it is seen and named, and a training that has seen it goes through the same gate",
        [
            (
                108,
                "drift",
                (
                    "faults/test_drift.py::test_a_change_of_a_measure_is_seen_named_and_asks_for_training[sail]",
                    "faults/test_drift.py::test_the_new_champion_recovers_and_all_is_quiet[sail]",
                ),
            )
        ],
        "none",
    ),
    *_rows(
        "models",
        "an issue that fails, or whose load does",
        "the last whole issue stays, with the instant it was issued for",
        [
            (
                109,
                "a stale forecast",
                (
                    "unit/writeback/test_forecasts.py::test_of_each_family_the_newest_issue_counts_as_a_whole",
                    "unit/writeback/test_forecasts.py::test_a_load_that_fails_leaves_the_table_as_it_was[wrong0]",
                ),
            )
        ],
        "none",
    ),
    *_planned(
        "restore",
        "a backup, an empty place",
        "recovery point and time as stated; what was erased stays erased",
        {
            111: "a restore to an empty place",
            112: "a lost key",
            113: "a revoked user",
            114: "an erasure replayed after a restore",
        },
    ),
    *_rows(
        "kill -9",
        "the job's process ends on the spot at every named point in turn",
        CONVERGES,
        [
            (
                166,
                "a load of every record type, at 36 points",
                ("faults/test_killed_loads.py::test_a_load_killed_at_every_step_converges",),
            ),
            (
                167,
                "features, training, scoring, forecasts, mining, monitoring",
                (
                    "faults/test_killed_models.py::test_models_killed_at_every_step_converge",
                    "faults/test_killed_forecasts.py::test_forecasts_killed_at_every_step_converge",
                    "faults/test_killed_forecasts.py::test_mining_killed_on_its_way_converges[sail]",
                    "faults/test_drift.py::test_a_change_of_a_measure_is_seen_named_and_asks_for_training[sail]",
                ),
            ),
            (
                168,
                "an extraction",
                (
                    "unit/extract/test_kill.py::test_an_extraction_killed_at_every_step_converges",
                    *(
                        f"{_NEXT_RUN.format(what)}[{point}]"
                        for what in ("file", "message")
                        for point in ("extract:manifest written", "staged", "judged")
                    ),
                ),
            ),
            (
                169,
                "scores on their way to a hospital",
                tuple(
                    f"unit/writeback/test_kill_writeback.py::test_each_score_arrives_once[writeback:{point}]"
                    for point in ("queued", "sent", "recorded")
                ),
            ),
        ],
    ),
    *_rows(
        "stopped batches",
        "a landed file, a key or the vault is away or damaged between two runs",
        "the batch says why, stops its own source alone, and is finished or begun anew once that is mended",
        [
            (170, "another landing key", (f"{LOADS}test_a_wrong_landing_key_is_named",)),
            (
                171,
                "a damaged landed file",
                tuple(
                    f"{LOADS}test_a_damaged_landed_file_is_named[{name}]"
                    for name in ("*Patient*", "deleted*")
                ),
            ),
            (
                172,
                "a lost file of a judged batch",
                (f"{STOPPED}test_a_judged_batch_whose_landed_file_is_lost_begins_anew",),
            ),
            (
                173,
                "another export in the place of a staged one",
                tuple(
                    f"{LOADS}test_another_export_takes_the_place_of_what_was_staged_of_the_first[{name}]"
                    for name in ("*Encounter*", "*Basic*")
                ),
            ),
            (
                174,
                "rows doubled in bronze",
                (f"{LOADS}test_rows_doubled_in_bronze_stop_the_batch_and_the_next_run_mends_it",),
            ),
            (
                175,
                "a batch that cannot be finished",
                (f"{STOPPED}test_a_batch_that_cannot_be_finished_stops_its_own_source_alone",),
            ),
            (
                176,
                "half a batch merged",
                tuple(
                    f"{STOPPED}test_half_a_batch_is_never_published_with_another[{point}]"
                    for point in ("record:silver.person_link", "merge:patient")
                ),
            ),
            (
                177,
                "a NUL in an id and in a deletion",
                (f"{STOPPED}test_a_nul_in_an_id_or_a_deletion_is_quarantined",),
            ),
            (
                178,
                "checks that fail",
                (
                    f"{LOADS}test_the_verdict_on_a_refused_batch_is_published_and_replaced_by_the_next",
                    f"{LOADS}test_refused_messages_come_again_with_later_ones_until_the_declaration_tolerates_them",
                    f"{LOADS}test_a_refused_file_comes_again_until_it_is_replaced",
                    "pipeline/test_dags.py::test_a_bad_batch_stops_its_hospital_alone[sail]",
                ),
            ),
        ],
    ),
    *_rows(
        "absence",
        "a full export of a source where what is left out has been deleted",
        "deleted, but never on doubt",
        [
            (
                179,
                "a type without a file",
                ("faults/test_absence.py::test_a_type_without_a_file_has_been_deleted_as_a_whole",),
            ),
            (
                180,
                "an incomplete export",
                ("faults/test_absence.py::test_an_incomplete_export_deletes_nobody_whenever_it_is_loaded",),
            ),
            (
                181,
                "a rejected record",
                ("faults/test_absence.py::test_a_rejected_record_is_not_an_absent_one",),
            ),
            (
                182,
                "a line that could be anybody",
                ("faults/test_absence.py::test_a_line_that_could_be_anybody_keeps_everybody",),
            ),
            (
                183,
                "an export that leaves out most",
                ("faults/test_absence.py::test_an_export_that_leaves_out_most_is_stopped",),
            ),
            (
                184,
                "an incomplete first export",
                (
                    "faults/test_first_load.py::"
                    "test_what_an_incomplete_first_export_left_out_is_usable_from_when_it_was_known[sail]",
                ),
            ),
        ],
    ),
    *_rows(
        "repair",
        "`citywell quarantine replay` of mended lines",
        "they come in alone, with a receipt of their own; the first receipt stays",
        [
            (
                185,
                "a repaired line",
                (
                    "faults/test_repair.py::test_a_repaired_line_is_published_and_the_first_receipt_stays[sail]",
                ),
            ),
            (186, "a repaired deletion", ("faults/test_repair.py::test_a_repaired_deletion_deletes[sail]",)),
            (
                187,
                "a repaired line older than what came since",
                ("faults/test_repair.py::test_a_repaired_old_line_does_not_overwrite_what_came_since[sail]",),
            ),
        ],
    ),
    *_rows(
        "settings",
        "the data directory's path",
        "refused before anything is written",
        [
            (
                188,
                "a path that the engine would change",
                tuple(
                    "unit/stack/test_cli.py::"
                    f"test_a_data_directory_whose_path_the_engine_would_change_is_refused[{odd}]"
                    for odd in (" ", "%", "#")
                ),
            )
        ],
        "none",
    ),
    *_rows(
        "models",
        "gold that changes from one day on: other levels, another link with the outcome",
        "the feature is named and training asked for once; the new champion recovers, then all is quiet",
        [
            (
                191,
                "a measure that changes its meaning",
                tuple(
                    f"faults/test_drift.py::test_{name}[sail]"
                    for name in (
                        "a_change_of_a_measure_is_seen_named_and_asks_for_training",
                        "looking_again_replaces_what_was_said",
                        "the_report_shows_it_and_nobody",
                        "a_training_that_came_to_no_model_is_not_asked_for_again",
                        "a_training_that_saw_it_is_not_asked_for_again_whatever_the_gate_said",
                        "decay_on_outcomes_that_no_training_has_seen_asks_again",
                        "the_alerts_of_each_score_are_followed",
                        "the_new_champion_recovers_and_all_is_quiet",
                    )
                ),
            )
        ],
    ),
    *_rows(
        "at random",
        "kills, repeats, damage, maintenance, second writers, lost sessions and repairs, drawn by a seed",
        "every promise after every fault; in the end no row differs from a clean run",
        [
            (
                189,
                "any faults in any order: two runs always, two hundred in `make test-all`",
                (
                    "faults/test_random_faults.py::test_a_few_faults_in_any_order",
                    *(
                        f"faults/test_random_faults.py::test_many_faults_in_any_order[{n}]"
                        for n in range(1, 9)
                    ),
                ),
            )
        ],
    ),
)


def covered() -> list[Fault]:
    """The rows that have a test."""
    return [fault for fault in CATALOGUE if fault.tests]


def page() -> str:
    """README.md: the catalogue as people read it."""
    tested, both = covered(), [fault for fault in covered() if fault.engines == "both"]
    lines = [
        "# The fault catalogue",
        "",
        "Written by `python -m tests.faults.catalogue` from `catalogue.py`; do not edit.",
        "",
        f"{len(tested)} faults are tested, {len(both)} of them on both engines; {len(CATALOGUE) - len(tested)} are "
        "planned. After each: receipts balance, a re-run gives the same rows, no unchecked row is visible.",
        "",
        "| # | group | fault | injected by | promise | engines | tests |",
        "|---|---|---|---|---|---|---|",
    ]
    for fault in sorted(CATALOGUE, key=lambda fault: fault.number):
        tests = "<br>".join(f"`{_short(test)}`" for test in fault.tests) or "planned"
        cells = (fault.group, fault.fault, fault.injection, fault.promise, fault.engines, tests)
        lines.append(f"| {fault.number} | " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _short(test: str) -> str:
    return test.replace("{engine}", "*")


if __name__ == "__main__":
    README.write_text(page(), encoding="utf-8")
