"""What a column of texts is taken for, and how its cells are read."""

import re
import time

import numpy as np
import pytest

from kerastune.data.readers import columns, dates, numerals

TIMES_A_PATTERN = 26  # that each cell is matched with
MANY = range(60)
NOTES = [f"called twice about bill {n}" for n in MANY]
TOLD = [
    # cells, kind, style, value of the first cell
    (["1", "2.5", "NA", "?", ""], "number", "plain", 1.0),
    (["1e3", "-5"], "number", "plain", 1000.0),
    (["1,234.5", "7"], "number", "1,234.5", 1234.5),
    (["1.234,5", "7"], "number", "1.234,5", 1234.5),
    (["1.234", "12.345.678"], "number", "1.234,5", 1234.0),
    (["0,123", "5"], "number", "1.234,5", 0.123),
    (["1 234,5", "2\u202f000"], "number", "1.234,5", 1234.5),
    (["$1,000", "-€5"], "number", "1,234.5", 1000.0),
    (["12 %", "7.5%", ""], "number", "plain %", 12.0),
    (["12 %", "7"], "category", "", "12 %"),
    (["True", "false", ""], "boolean", "", 1.0),
    (["yes", "no"], "category", "", "yes"),
    (["01234", "99999"], "category", "", "01234"),
    (["2024-01-31", "", "2024/2/1", "NaT"], "date", "y-m-d", "2024-01-31"),
    (["2024-01-31T23:59:00+01:00", "2024-02-01 00:00"], "date", "y-m-d", "2024-01-31 22:59:00"),
    (["31/01/2024", "1/2/2024"], "date", "d/m/y", "2024-01-31"),
    (["1/31/24", "1/2/24"], "date", "m/d/y", "2024-01-31"),
    (["01.02.2024", "02.03.2024"], "date", "d/m/y", "2024-02-01"),
    (["1/1/2024", "1/2/2024", "1/3/2024"], "date", "d/m/y", "2024-01-01"),
    (["1/1/2024", "2/1/2024", "3/1/2024"], "date", "m/d/y", "2024-01-01"),
    (["31 Jan 2024", "February 1, 2024"], "date", "month by name", "2024-01-31"),
    (["31-Jan-2024", "01-FEB-24"], "date", "month by name", "2024-01-31"),
    (["1/31/2024 11:05 PM", "1/2/2024 12:00 AM"], "date", "m/d/y", "2024-01-31 23:05:00"),
    (["31/02/2024", "30/02/2024"], "category", "", "31/02/2024"),
    (NOTES, "text", "", NOTES[0]),
    (NOTES[:20] * 3, "category", "", NOTES[0]),
    (["none", "None", "one"], "category", "", "none"),
]


def cells_of(*cells):
    return np.array(cells, object)


@pytest.mark.parametrize("cells, kind, style, first", TOLD, ids=lambda value: str(value)[:30])
def test_it_is_told_by_all_cells(cells, kind, style, first):
    array = cells_of(*cells)
    column = columns.recognize("a", array)
    assert (column.kind, column.style) == (kind, style)
    (found, *_) = columns.values(array, column).tolist()
    assert (dates.text(found) if kind == "date" else found) == first


@pytest.mark.parametrize(
    "name, cells, why",
    [
        ("customer_id", [str(7 * n % 61) for n in MANY], "as of an id"),
        ("PassengerId", [str(3 * n) for n in MANY], "as of an id"),
        ("row", [str(n + 1) for n in MANY], "it numbers the rows"),
        ("who", [f"C-{n}" for n in MANY], "as of an id"),
        ("who", [f"C-{n // 2}" for n in MANY], "nearly all its values differ"),
        ("gap", ["", " "], "it is empty"),
        ("same", [" 5", "5 "], "it is always 5"),
    ],
)
def test_what_nothing_can_be_learnt_from_is_dropped(name, cells, why):
    column = columns.recognize(name, cells_of(*cells))
    assert column.kind == columns.DROPPED and why in column.why


@pytest.mark.parametrize(
    "name, cells",
    [
        ("price", [str(7 * n % 61) for n in MANY]),  # different numbers, and no name of an id
        ("valid", [str(n / 2) for n in MANY]),  # ends in id
        ("width", [str(3 * n) for n in MANY]),
        ("paid", ["x", ""] * 5),  # always the same where it is there, and there or not
    ],
)
def test_what_looks_nearly_like_an_id_is_kept(name, cells):
    assert columns.recognize(name, cells_of(*cells)).is_input


@pytest.mark.parametrize(
    "cells, words",
    [
        ([*map(str, MANY), "x"], "has numbers and 1 other texts, such as 'x': mend them, or say"),
        ([f"2024-01-{n % 28 + 1}" for n in MANY] + ["soon"], "has dates and 1 other texts"),
        (["1/2/2024", "3/4/2024"], "can be read in two ways"),
        (["1", "inf"], "has 1 infinite values, first in row 2"),
        (["1", "1e300"], "has values up to 1e\\+300, which are too large"),
    ],
)
def test_what_can_not_be_told_or_used_is_refused_with_a_remedy(cells, words):
    with pytest.raises(ValueError, match=words) as caught:
        columns.recognize("a", cells_of(*cells))
    assert "`types={'a': " in str(caught.value) or "`ignore=['a']`" in str(caught.value)


def test_what_the_user_says_of_a_column_wins():
    cells = cells_of(*map(str, MANY), "x")
    number = columns.recognize("id", cells, "number")
    assert np.isnan(columns.values(cells, number)[-1]) and number.missing == 1
    assert columns.recognize("id", cells, "category").kind == "category"
    day = columns.recognize("a", cells_of("1/2/2024"), "m/d/y")
    assert dates.text(columns.values(cells_of("1/2/2024"), day)[0]) == "2024-01-02"


def test_the_order_of_days_that_the_user_names_holds_for_new_rows():
    column = columns.recognize("day", cells_of("2024-01-31", "2024-02-01"), "d/m/y")
    found = columns.values(cells_of("31/01/2024", "1.2.2024", "2024-01-31"), column)
    assert [dates.text(each) for each in found] == ["2024-01-31", "2024-02-01", "2024-01-31"]


def test_new_rows_are_read_as_the_column_was():
    column = columns.recognize("a", cells_of("1.234,5", "7"))
    new = cells_of("2.000", "x", 3.5, None)
    np.testing.assert_array_equal(columns.values(new, column), [2000, np.nan, 3.5, np.nan])
    assert columns.unreadable(new, column) == ["x"]


@pytest.mark.parametrize(
    "read, style",
    [
        *((numerals.numbers, style) for style in numerals.STYLES),
        *((dates.seconds, order) for order in dates.ORDERS),
    ],
)
def test_a_cell_is_read_among_others_as_it_is_alone(read, style):
    odd = ["", " ", "\n", "5\n6", "5\n", "2024-01-31\n12:00", "1/2/2024 3:04\nPM", "-$5", "$", "%"]
    cells = [*odd, *(cell for told in TOLD for cell in told[0][:3]), *odd]
    alone = np.concatenate([read([cell], style) for cell in cells])
    np.testing.assert_array_equal(read(cells, style), alone)
    assert np.isnan(alone[:4]).all() and len(read([], style)) == 0


def test_what_only_looks_like_a_number_is_none():
    cells = ["\u0131nf", "1e- 5", "5 -", "1 2"]
    assert np.isnan(numerals.numbers(cells, "plain")).all()
    assert numerals.numbers(["$ - 5", "- €5", "+5%"], "plain").tolist() == [-5, -5, 5]


def test_long_spaces_in_a_cell_cost_no_more_than_their_length():
    cell = "a" + " " * 200_000 + "b"
    began = time.process_time()
    assert np.isnan(numerals.numbers([cell], "plain")).all()
    assert time.process_time() - began < 2


@pytest.mark.parametrize("kind", ["number", "date", "boolean", "m/d/y"])
def test_a_type_that_no_cell_has_is_refused(kind):
    with pytest.raises(ValueError, match=r"'plan' has no text that is read as a .*'pro'"):
        columns.recognize("plan", cells_of("pro", "", "plus", "n/a"), kind)
    assert columns.recognize("plan", cells_of("pro", "5", "true", "1/2/2024"), kind).missing == 3


def cpu_seconds(work):
    start = time.process_time()
    work()
    return time.process_time() - start


@pytest.mark.parametrize(
    "cell",
    [
        lambda n: f"{1 + n // 60 % 28}/{1 + n // 1680 % 12}/2024 {n % 24}:{n % 60:02}:{n % 59:02}",
        lambda n: f"${n * 37:,}.50",
    ],
)
def test_a_mistake_among_many_different_cells_is_told_soon(cell):
    cells = np.array([*map(cell, range(60_000)), "oops"], object)
    pattern = re.compile(r"(\W?)(\d+)(.*)")
    once = min(cpu_seconds(lambda: [pattern.fullmatch(each) for each in cells]) for _ in range(3))

    def refused():
        with pytest.raises(ValueError, match="1 other texts, such as 'oops'"):
            columns.recognize("a", cells)

    assert min(cpu_seconds(refused) for _ in range(2)) < TIMES_A_PATTERN * once


@pytest.mark.parametrize("written", ["{}", "{}T00:00:00"])  # the first is read at once
def test_days_are_the_same_however_they_are_read(written):
    days = [f"20{n:02d}-{n % 12 + 1:02d}-{n % 28 + 1:02d}" for n in range(10, 60)]
    for given in (days, days[:12], ["", *days]):
        cells = cells_of(*(each and written.format(each) for each in given))
        column = columns.recognize("day", cells)
        assert (column.kind, column.style, column.distinct) == (
            "date",
            "y-m-d",
            len(set(days) & set(given)),
        )
        found = [dates.text(each) for each in columns.values(cells, column)]
        assert found == given
