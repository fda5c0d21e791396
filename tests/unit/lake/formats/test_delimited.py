"""CSV as it comes: quotes, line ends inside them, encodings, ragged rows; a bad row spoils no other."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from jobs.lake.formats.delimited import Table
from jobs.lake.strict import Rejected
from jobs.sources import CsvForm

CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\x1c\x1d\x1e\x85\u2028\u2029\x0b\x0c"))


def rows(data: bytes, form: CsvForm | None = None, piece: int = 1 << 20) -> list[tuple[int, object]]:
    """Line and cells of each row, or the rule that rejects it."""
    pieces = [data[start : start + piece] for start in range(0, len(data), piece)]
    found = Table(pieces, form or CsvForm()).rows()
    return [(r.number, r.cells.args[0] if isinstance(r.cells, Rejected) else r.cells) for r in found]


@given(
    st.lists(st.tuples(CELL, CELL.filter(lambda text: text.strip() != "")), max_size=12), st.integers(1, 9)
)
def test_what_a_csv_writer_writes_is_read(table: list[tuple[str, str]], piece: int) -> None:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows([("a", "b"), *table])
    kept = [(a, b) for a, b in table if "\n\n" not in a + b and a.count("\n") + b.count("\n") < 40]
    found = [cells for _, cells in rows(written.getvalue().encode(), piece=piece)]
    if len(kept) == len(table):
        assert found == [{"a": a, "b": b} for a, b in table]


def test_a_row_that_is_none_is_named_and_the_others_stay() -> None:
    data = b'\xef\xbb\xbfa,b\r\n1,"x\ny"\r\n2,ragged,row\n3,"open\n4,fine\n5,\xff\n6,\0\n7,\xc3\xa4\n'
    assert rows(data) == [
        (2, {"a": "1", "b": "x\ny"}),
        (4, "wrong_cell_count"),
        (5, "unbalanced_quote"),
        (6, {"a": "4", "b": "fine"}),
        (7, "invalid_encoding"),
        (8, "nul_character"),
        (9, {"a": "7", "b": "ä"}),
    ]


def test_a_stray_quote_swallows_no_rows() -> None:
    data = b'a,b\n1,5" pipe\n2,fine\n3,6" pipe\n4,fine\n'
    assert [number for number, _ in rows(data)] == [2, 3, 4, 5]
    assert [cells for _, cells in rows(data)][1::2] == [{"a": "2", "b": "fine"}, {"a": "4", "b": "fine"}]


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 9))
def test_quotes_that_are_never_closed_spoil_their_own_rows_alone(strays: list[bool], piece: int) -> None:
    stray = '"'
    written = "".join(f"{n},{stray * is_stray}5 cm,{n}\n" for n, is_stray in enumerate(strays))
    assert rows(f"a,b,c\n{written}".encode(), piece=piece) == [
        (n + 2, "unbalanced_quote" if is_stray else {"a": f"{n}", "b": "5 cm", "c": f"{n}"})
        for n, is_stray in enumerate(strays)
    ]


def test_quoted_cells_keep_line_ends_and_quotes_and_end_with_their_quote() -> None:
    data = b'a,b\n1,"x\ny, ""z"""\n2,"6 cm" wide\n3,"6"" wide"\n'
    assert rows(data) == [
        (2, {"a": "1", "b": 'x\ny, "z"'}),
        (4, "unbalanced_quote"),
        (5, {"a": "3", "b": '6" wide'}),
    ]


def test_a_footer_is_no_row_and_states_their_number() -> None:
    table = Table([b"a;b\n1;2\n#ENDE;1\n"], CsvForm(delimiter=";", footer="#ENDE"))
    assert [row.cells for row in table.rows()] == [{"a": "1", "b": "2"}]
    assert (table.header, table.stated) == (["a", "b"], 1)
