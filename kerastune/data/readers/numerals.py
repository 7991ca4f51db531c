"""How a column of texts writes its numbers: marks for decimals and thousands, percent, currency."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

import numpy as np

# Cells of a column of numbers or dates that stand for a missing one, in lower case.
MISSING = frozenset(("", "na", "n/a", "#n/a", "nan", "nat", "null", "none", "?", "-", "--"))
LONGEST_MISSING = max(map(len, MISSING))
PLAIN, POINT, COMMA = "plain", "1,234.5", "1.234,5"
PERCENT = " %"  # ends the style of a column of percentages
STYLES = tuple(style + end for style in (PLAIN, POINT, COMMA) for end in ("", PERCENT))
_SIGN = r"[-+]?"
_PATTERNS = {
    PLAIN: rf"{_SIGN}(?:(?:\d+\.?\d*|\.\d+)(?:[eE]{_SIGN}\d+)?|(?ai:inf|infinity))",
    POINT: rf"{_SIGN}(?:[1-9]\d{{0,2}}(?:,\d{{3}})+|\d+)(?:\.\d+)?",
    COMMA: rf"{_SIGN}(?:[1-9]\d{{0,2}}(?:\.\d{{3}})+|\d+)(?:,\d+)?",
}
# What is written in a style, and what is not, in a text of one cell a line.
_OTHERS = {
    marks: re.compile(rf"^(?!(?:{pattern})$).*$", re.MULTILINE)
    for marks, pattern in _PATTERNS.items()
}
_SPACE = r" \t\u00a0\u2007\u2009\u202f"
_CURRENCY = "$€£¥"
_AROUND = f"{_SPACE}{_CURRENCY}"
_BEFORE = re.compile(rf"^(?=[-+{_AROUND}])[{_AROUND}]*([-+]?)[{_AROUND}]*", re.MULTILINE)
_AFTER = re.compile(rf"(?<![{_AROUND}%])[{_AROUND}%]+$", re.MULTILINE)
_SPACED = re.compile(rf"[{_SPACE}'\u2019](?<=\d.)(?=\d{{3}}(?!\d))")
_CODE_LINE = re.compile(r"^0\d+$", re.MULTILINE)


def is_missing(cell: str) -> bool:
    """Whether a cell among numbers or dates stands for a missing one.

    Example:
        >>> is_missing("N/A"), is_missing("none"), is_missing("0")
        (True, True, False)
    """
    return cell.strip().lower() in MISSING


def given(cells: Sequence[str]) -> list[str]:
    """Stripped cells without those that stand for a missing one.

    Example:
        >>> given([" 5", "n/a", ""])
        ['5']
    """
    stripped = [cell.strip() for cell in cells]
    return [cell for cell in stripped if len(cell) > LONGEST_MISSING or not is_missing(cell)]


def style_of(cells: Sequence[str]) -> str:
    """How a column writes its numbers; empty if they are no numbers.

    Cells that stand for missing ones do not count. Where `1,234` may be either, the comma is taken
    for one of thousands. Digits with a leading zero, as of a zip code, are no numbers.

    Args:
        cells: different texts of a column.

    Returns:
        One of `STYLES`.

    Example:
        >>> style_of(["1,234", "5.5"]), style_of(["1.234,5"]), style_of(["5 %", "7 %"])
        ('1,234.5', '1.234,5', 'plain %')
        >>> style_of(["01234", "99999"]), style_of(["1", "b"])
        ('', '')
    """
    lines = as_lines(given(cells))
    if not lines or _has_codes(lines):
        return ""
    if not _OTHERS[PLAIN].search(lines):
        return PLAIN
    ends = {cell.endswith("%") for cell in lines.split("\n")} if "%" in lines else {False}
    if len(ends) > 1:
        return ""
    bare = _bare(lines)
    for marks, others in _OTHERS.items():
        if not others.search(bare):
            return marks + (PERCENT if ends == {True} else "")
    return ""


def numbers(cells: Sequence[str], style: str) -> np.ndarray:
    """Cells as float64 `[n]`, NaN where they stand for a missing one or are no number.

    Args:
        cells: texts.
        style: one of `STYLES`.

    Example:
        >>> numbers(["1.234,5", "", "x", "7"], "1.234,5").tolist()
        [1234.5, nan, nan, 7.0]
    """
    if not len(cells):
        return np.zeros(0)
    marks = style.removesuffix(PERCENT)
    bare = _bare(as_lines([cell.strip() for cell in cells]))
    found = _floats(bare, marks)
    is_other = np.isnan(found)
    if marks != PLAIN and is_other.any():
        # A number typed plainly is one in a column of any style.
        rest = itertools.compress(bare.split("\n"), is_other)
        found[is_other] = _floats("\n".join(rest), PLAIN)
    return found


def plain_column(cells: np.ndarray) -> np.ndarray | None:
    """A column in which every cell is an ordinary number or empty, float64 `[n]`; else `None`.

    It says no more than `style_of` and `numbers`, but of millions of cells in a second.

    Args:
        cells: texts, as objects.

    Example:
        >>> plain_column(np.array(["1", "", "2.5"], object)).tolist()
        [1.0, nan, 2.5]
        >>> plain_column(np.array(["1", "n/a"], object)) is None
        True
    """
    if cells.dtype.kind != "O" or not len(cells) or not isinstance(cells[0], str):
        return None
    is_empty = cells == ""
    given = cells[~is_empty]
    try:
        values = given.astype(np.float64)
    except (TypeError, ValueError):
        return None
    is_odd = not len(given) or bool(np.isnan(values).any())
    lines = "" if is_odd else "\n".join(given.tolist())
    if is_odd or "_" in lines or _has_codes(lines):
        return None
    found = np.full(len(cells), np.nan)
    found[~is_empty] = values
    return found


def are_codes(cells: Sequence[str]) -> bool:
    """Whether some cells are digits with a leading zero, as of a zip code.

    Example:
        >>> are_codes(["12", "012"]), are_codes(["0", "0.5"])
        (True, False)
    """
    return _has_codes(as_lines(cells))


def as_lines(cells: Sequence[str]) -> str:
    """One text with a cell a line, which one regular expression reads at once.

    Example:
        >>> as_lines(["a", "b\\nc"])
        'a\\nb\\x00c'
    """
    lines = "\n".join(cells)
    if lines.count("\n") >= len(cells) > 0:
        lines = "\n".join([cell.replace("\n", "\0") for cell in cells])
    return lines


def _has_codes(lines: str) -> bool:
    may = lines.startswith("0") or "\n0" in lines
    return may and bool(_CODE_LINE.search(lines))


def _floats(lines: str, marks: str) -> np.ndarray:
    """Lines as float64 `[n]`; NaN for those with other marks."""
    lines = _OTHERS[marks].sub("nan", lines)
    if marks == POINT:
        lines = lines.replace(",", "")
    if marks == COMMA:
        lines = lines.replace(".", "").replace(",", ".")
    return np.array(lines.split("\n"), object).astype(np.float64)


def _bare(lines: str) -> str:
    """Lines without percent, currency, and spaces between thousands."""
    if lines.isascii() and not any(mark in lines for mark in "%$' \t"):
        return lines
    return _SPACED.sub("", _BEFORE.sub(r"\1", _AFTER.sub("", lines)))
