"""Lists for a person and for a pipe."""

from __future__ import annotations

import io

from rich.console import Console
from rich.text import Text

from infra.cli.listing import print_list

HEADINGS = ("source", "rule", "records", "reason")
REASON = "a value is not in a unit declared for its code, which is one of very many"
ROWS = [
    ("hospital_university", "value_set:clinical_status", 12345, REASON),
    ("hospital_north", Text("range:sex", "red"), None, "short, but below"),
]


def printed(*, is_terminal: bool, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), force_terminal=is_terminal, width=width, color_system=None)
    print_list(console, HEADINGS, ROWS)
    return console.file.getvalue().splitlines()


def test_a_pipe_gets_csv_with_plain_numbers():
    assert printed(is_terminal=False, width=20) == [
        "source,rule,records,reason",
        f'hospital_university,value_set:clinical_status,12345,"{REASON}"',
        'hospital_north,range:sex,,"short, but below"',
    ]


def test_what_does_not_fit_has_a_line_of_its_own():
    assert printed(is_terminal=True) == [
        "source               rule                       records",
        "  reason",
        "hospital_university  value_set:clinical_status   12,345",
        f"  {REASON}",
        "hospital_north       range:sex",
        "  short, but below",
    ]


def test_a_wide_terminal_has_a_line_a_row():
    assert printed(is_terminal=True, width=160) == [
        "source               rule                       records  reason",
        f"hospital_university  value_set:clinical_status   12,345  {REASON}",
        "hospital_north       range:sex                           short, but below",
    ]


def test_nothing_is_cut_in_a_narrow_terminal():
    shown = printed(is_terminal=True, width=10)
    assert "  value_set:clinical_status" in shown
    assert f"  {REASON}" in shown
