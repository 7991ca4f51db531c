"""Which multiplier a layer's name and depth give."""

import pytest

from kerastune import recipe
from kerastune.models import layer_groups

PATHS = [("backbone", "conv2d", "kernel"), ("backbone", "conv2d", "bias"), ("dense", "kernel")]


def test_rates_fall_by_the_factor_from_layer_to_layer():
    assert [
        layer_groups.multiplier(("dense", "kernel"), height, 0.5, []) for height in range(3)
    ] == [1.0, 0.5, 0.25]


def test_a_pattern_takes_the_place_of_the_decay_and_the_last_one_counts():
    rates = ["backbone=0.3", "*bias=0", "conv2d/kernel=2"]
    assert [layer_groups.multiplier(path, 3, 0.5, rates) for path in PATHS] == [2.0, 0.0, 0.125]
    assert layer_groups.multiplier(PATHS[0], 3, 0.5, rates[::-1]) == 0.3


def test_a_pattern_may_hold_an_equals_sign_and_any_glob():
    assert recipe.parse_layer_rate("a=b=0.5") == ("a=b", 0.5)
    assert layer_groups.matches("conv?d/[kb]*", PATHS[1]) and not layer_groups.matches(
        "Conv2d", PATHS[0]
    )


def test_a_pattern_that_matches_nothing_is_refused_with_what_there_is():
    layer_groups.check_patterns(["conv*=1", "kernel=1", "backbone/*=0"], PATHS)
    with pytest.raises(ValueError, match="'denze' matches no layer.*did you mean `dense`"):
        layer_groups.check_patterns(["dense=1", "denze=0.1"], PATHS)
    with pytest.raises(ValueError, match="'x' matches no.*backbone/conv2d, dense"):
        layer_groups.check_patterns(["x=0.1"], PATHS)
