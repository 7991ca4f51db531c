"""Arrays in dicts, lists and tuples."""

import numpy as np
import pytest

from kerastune.analysis import nested

ARRAY = np.arange(3)


@pytest.mark.parametrize(
    "values, expected",
    [
        (ARRAY, False),
        ([1, 2], False),
        ([[1, 2], [3, 4]], False),
        ([ARRAY, ARRAY], True),
        ((ARRAY, [ARRAY]), True),
        ({"a": [1, 2]}, True),
        ([{"a": ARRAY}], True),
        (list(ARRAY), False),
        (None, False),
    ],
)
def test_a_list_of_arrays_is_a_structure_and_a_list_of_numbers_an_array(values, expected):
    assert nested.is_nested(values) is expected


def test_functions_reach_every_array_and_those_at_the_same_place():
    values = {"a": ARRAY, "b": [ARRAY + 1, {"c": ARRAY + 2}]}
    summed = nested.mapped(lambda one, other: int((one + other).sum()), values, values)
    assert summed == {"a": 6, "b": (12, {"c": 18})}
    assert nested.mapped(len, None) is None
    assert [name for name, _ in nested.named(values, "y")] == [
        "y['a']",
        "y['b'][0]",
        "y['b'][1]['c']",
    ]
    assert len(nested.leaves(values)) == 3 and nested.leaves(None) == []
