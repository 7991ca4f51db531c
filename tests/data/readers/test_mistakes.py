"""A few cells that are no numbers or dates among many that are."""

import numpy as np
import pytest

from kerastune.data import finishing
from kerastune.data.readers import columns, mistakes, tables
from kerastune.data.readers.asked import Asked

ISO = [f"2024-01-{day:02}" for day in range(1, 28)]
AMERICAN = [f"{1 + day % 12}/{day}/2024" for day in range(1, 28)]
MONEY = [f"${number},500.25" for number in range(1, 28)]
GERMAN = [f"{number}.500,25" for number in range(1, 28)]


@pytest.mark.parametrize("given", [ISO, AMERICAN, MONEY, GERMAN, list(map(str, range(1, 28)))])
@pytest.mark.parametrize("first", [True, False])
def test_a_tenth_of_other_texts_is_refused_wherever_it_stands(given, first):
    others = ["oops", "what", "who"]
    cells = others + given if first else given + others
    with pytest.raises(ValueError, match="and 3 other texts, such as 'oops'"):
        mistakes.refuse("a", cells)
    mistakes.refuse("a", [*cells, "more"])  # more than a tenth: categories
    mistakes.refuse("a", given)


def test_what_is_wrong_with_a_label_is_told_before_the_columns_are_read(monkeypatch):
    pd = pytest.importorskip("pandas")
    monkeypatch.setattr(columns, "recognize", lambda *given: pytest.fail("took its time"))
    frame = pd.DataFrame({"note": ["a long text"] * 20, "y": ["yes"] * 20})
    with pytest.raises(ValueError, match="only one class"):
        tables.read(frame, Asked(label="y"))
    with pytest.raises(ValueError, match="has no 'y' in 1 rows, first in row 20"):
        tables.read(frame.assign(y=["yes", "no"] * 9 + ["yes", ""]), Asked(label="y"))


def test_what_is_wrong_with_classes_is_told_before_inputs_are_prepared(monkeypatch):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": np.arange(40) ** 2, "y": ["yes", "no"] * 20})
    other = frame.assign(y=["yes", "never"] * 20)
    raw = tables.read(frame, Asked(label="y", test_data=other))
    monkeypatch.setattr(finishing, "_fit_inputs", lambda *given: pytest.fail("took its time"))
    with pytest.raises(ValueError, match="labels that are no class of the training part: never"):
        finishing.finish(raw, finishing.Wishes())
