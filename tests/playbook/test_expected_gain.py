"""What a change is expected to gain: on numbers worked out by hand, at its limits, and with priors
of a file.
"""

import math

import pytest
from fake_trainer import facts
from test_stages import scored

from kerastune.analysis.comparison import Comparison, Z
from kerastune.playbook.context import Context
from kerastune.playbook.rules import expected_gain, full_training, regularizers
from kerastune.playbook.rules.expected_gain import (
    BUILT_IN,
    MANY,
    RECORDED,
    SEED_STD,
    TIE,
    WIDER,
    Expected,
    Prior,
    expected,
    prior,
    seed_std,
    shrunk,
)
from kerastune.recipe import Recipe

IN_THE_FILE = expected_gain._recorded


def measured(gain, error=0.0, **others):
    return Comparison(gain, gain - Z * error, gain + Z * error, **others)


# The formula


def test_measured_gain_and_prior_weigh_by_their_precisions():
    # Precisions 1 / 0.03**2 = 1111.1 and 1 / 0.01**2 = 10000, so weights of 0.1 and 0.9.
    mean, std = shrunk(0.02, 0.01, -0.01, 0.03)
    assert mean == pytest.approx(0.1 * -0.01 + 0.9 * 0.02)
    assert std == pytest.approx(1 / math.sqrt(10_000 + 1 / 0.03**2))


@pytest.mark.parametrize(
    "gain, error, mean, std, found",
    [
        (0.02, 0.0, -0.5, 0.01, (0.02, 0.0)),  # measured without an error: no prior counts
        (0.02, math.inf, 0.004, 0.01, (0.004, 0.01)),  # nothing was measured: the prior is all
        (0.02, 0.01, 0.02, 0.01, (0.02, 0.01 / math.sqrt(2))),  # both agree: surer, and the same
    ],
)
def test_its_limits(gain, error, mean, std, found):
    assert shrunk(gain, error, mean, std) == pytest.approx(found)


def test_the_error_is_that_of_the_examples_and_of_two_trainings_seeds():
    found = expected(measured(0.02, 0.003), Prior(0.0, 0.01), seed_std=0.002)
    error = math.sqrt(0.003**2 + 2 * 0.002**2)
    assert (found.mean, found.std) == pytest.approx(shrunk(0.02, error, 0.0, 0.01))
    # However many validation examples there are, seeds remain.
    sure = expected(measured(0.02), Prior(0.0, 0.01), seed_std=0.002)
    assert found.mean < sure.mean < 0.02


def test_a_prior_turns_what_was_measured_only_where_that_is_uncertain():
    helped, harmed = Prior(0.01, 0.005, tasks=14), Prior(-0.01, 0.005, tasks=14)
    little = measured(-0.002, 0.01)
    assert expected(little, helped).is_gain and not expected(little, Prior()).is_gain
    assert not expected(measured(0.002, 0.01), harmed).is_gain
    assert not expected(measured(-0.02, 0.001), helped).is_gain
    assert expected(measured(0.02, 0.001), harmed).is_gain


def test_no_significance_is_asked_for():
    uncertain = measured(0.01, 0.02)
    assert not uncertain.is_significant and expected(uncertain, Prior()).is_gain


# Ties, scales, mirror images


@pytest.mark.parametrize("mean, is_gain", [(TIE, False), (1.01 * TIE, True), (-0.01, False)])
def test_a_gain_of_a_tie_is_none(mean, is_gain):
    assert Expected(mean, 0.0).is_gain is is_gain


def test_what_is_smaller_than_a_tie_once_it_is_shrunk_is_none():
    assert not expected(measured(1.5 * TIE, 0.03), Prior()).is_gain
    assert expected(measured(1.5 * TIE), Prior()).is_gain


@pytest.mark.parametrize("scale", [0.01, 1.0, 250.0])
def test_of_losses_everything_is_a_fraction_of_their_size(scale):
    of_one = expected(measured(0.02, 0.01), Prior(0.005, 0.02), 1.0, 0.004)
    found = expected(measured(0.02 * scale, 0.01 * scale), Prior(0.005, 0.02), scale, 0.004)
    assert (found.mean, found.std, found.tie) == pytest.approx(
        (scale * of_one.mean, scale * of_one.std, scale * TIE)
    )
    assert not expected(measured(0.9 * TIE * scale), Prior(), scale).is_gain
    assert expected(measured(1.1 * TIE * scale), Prior(), scale).is_gain


def test_with_mirror_images_those_count():
    for alone, both in ((-0.01, 0.02), (0.01, -0.02)):
        of_both = measured(both, 0.001)
        found = expected(measured(alone, 0.02, mirrored=of_both), Prior())
        assert found == expected(of_both, Prior()) and found.is_gain is (both > 0)


# Priors


def wider(found):
    return Prior(found["mean"], WIDER * found["std"], found["tasks"])


def test_a_prior_is_that_of_the_kind_of_data_else_of_other_data(recorded):
    image, other = {"mean": 0.01, "std": 0.02, "tasks": 5}, {"mean": 0.0, "std": 0.01, "tasks": 21}
    recorded(gains={"flip": {"image": image, "other": other}, "batch 32": {"image": image}})
    assert prior("flip", "image") == wider(image)
    assert prior("flip", "table") == wider(other)
    assert prior("flip", "image, small") == Prior()  # of other sizes nothing is known
    assert prior("batch 32", "table") == prior("unheard of", "image") == Prior()


def test_a_comparison_may_be_that_of_a_recorded_change_or_its_reverse(recorded):
    measured = {"mean": 0.01, "std": 0.02, "tasks": 5}
    recorded(gains={name: {"image": measured} for name, _ in RECORDED.values()})
    for comparison, (_, sign) in RECORDED.items():
        assert prior(comparison, "image") == Prior(sign * 0.01, WIDER * 0.02, 5)
    assert RECORDED["decay"] == ("constant", -1) and RECORDED["longer"] == ("length x3", 1)


def test_with_adam_gains_are_those_recorded_with_adam_else_those_with_sgd(recorded):
    of_sgd, of_adam = ({"mean": mean, "std": 0.01, "tasks": 5} for mean in (0.02, -0.01))
    recorded(
        changes={
            "smoothing": {"label_smoothing": 0.1},
            "late": {"decay_start": 0.5},
            "adam, smoothing": {"optimizer": "adam", "label_smoothing": 0.1},
        },
        gains={name: {"table": of_sgd} for name in ("smoothing", "late", "adam, smoothing")},
        gains_of={"adam": {"adam, smoothing": {"table": of_adam}}},
    )
    for change in ("label_smoothing", "smoothing", "adam, smoothing"):
        assert prior(change, "table", "adam") == wider(of_adam)
        assert prior(change, "table") == prior(change, "table", "lion") == wider(of_sgd)
    assert prior("late", "table", "adam") == wider(of_sgd)
    # The same change is not tried twice.
    assert list(expected_gain.changes("adam")) == ["adam, smoothing", "late"]
    assert list(expected_gain.changes()) == ["smoothing", "late", "adam, smoothing"]


def test_of_a_built_in_network_gains_are_those_over_the_recipe_that_it_names(recorded):
    of_sgd, of_own = ({"mean": mean, "std": 0.01, "tasks": 5} for mean in (0.02, -0.01))
    recorded(
        changes={"smoothing": {"label_smoothing": 0.1}, "late": {"decay_start": 0.5}},
        gains={name: {"table": of_sgd} for name in ("smoothing", "late")},
        gains_of={BUILT_IN: {"smoothing": {"table": of_own}, "no dropout": {"table": of_own}}},
        changes_of_built_in={"no dropout": {"dropout": None}, "x": {"label_smoothing": 0.2}},
    )
    # Smoothing was tried there, a late decay was not.
    assert list(expected_gain.changes(BUILT_IN)) == ["no dropout", "x", "late"]
    assert prior("smoothing", "table", BUILT_IN) == prior("no dropout", "table", BUILT_IN)
    assert prior("smoothing", "table", BUILT_IN) == wider(of_own)
    assert prior("late", "table", BUILT_IN) == wider(of_sgd)
    names = facts(starting_recipe={"optimizer": "adam"})
    assert names.recorded_as(Recipe(optimizer="adam")) == BUILT_IN
    assert names.recorded_as(Recipe()) == "sgd" == facts().recorded_as(Recipe())


def test_an_unknown_change_is_neutral():
    assert Prior().mean == 0 and Prior().tasks == 0
    gain = expected(measured(0.02, 0.01), prior("unheard of", "table"))
    assert 0 < gain.mean < 0.02
    assert expected(measured(-0.02, 0.01), Prior()).mean == pytest.approx(-gain.mean)


def test_the_spread_of_seeds_is_that_of_the_kind_of_data_and_falls_with_the_root_of_examples(
    recorded,
):
    recorded(seed_std={"image": 0.1})
    assert [seed_std("image", count) for count in (100, 10_000)] == [0.01, 0.001]
    assert seed_std("text", 10_000) == SEED_STD / 100
    assert seed_std("image", 0) == seed_std("image", MANY)  # a stream


def test_what_was_recorded_as_it_is_done_is_not_taken_to_vary_more(recorded):
    held = {"table": {"mean": 0.01, "std": 0.02, "tasks": 3}}
    recorded(gains={"bag": held, "smoothing": held})
    assert prior("bag", "table") == Prior(0.01, 0.02, 3)
    assert prior("smoothing", "table") == Prior(0.01, WIDER * 0.02, 3)


def test_the_file_of_priors_holds_what_is_read_of_it():
    held = IN_THE_FILE()
    assert held["source"] and {"seed_std", "changes", "gains"} <= set(held)
    kinds = {"table", "image", "series", "text", "regression", "other"}
    kinds |= {kind + expected_gain.SMALL for kind in kinds}
    assert set(held["seed_std"]) <= kinds and all(std > 0 for std in held["seed_std"].values())
    assert set(held["changes"]) >= {name for name, _ in RECORDED.values()}
    of_built_in = held["changes_of_built_in"]
    assert of_built_in and set(of_built_in) <= set(held["gains_of"][BUILT_IN])
    assert set(held["gains"]) == set(held["changes"]) | set(expected_gain.MEASURED)
    for change, by_kind in held["gains"].items():
        assert set(by_kind) <= kinds, change
        for kind, values in by_kind.items():
            found = Prior(**values)
            assert abs(found.mean) < 1 and 0 <= found.std < 1, (change, kind)


def test_what_gained_most_on_other_data_is_tried_first(recorded):
    assert regularizers.order("table") == list(regularizers.ORDER)
    gains = {"label_smoothing": 0.01, "weight_decay": 0.005, "dropout": -0.01}
    known = {
        RECORDED.get(each, (each, 1))[0]: {"table": {"mean": gains[each], "std": 0.01, "tasks": 3}}
        for each in gains
    }
    recorded(gains=known)
    order = [make.__name__ for make in regularizers.order("table")]
    assert order == ["label_smoothing", "weight_decay", "flip", "augmentation", "dropout"]
    assert regularizers.order("image") == list(regularizers.ORDER)
    thing = regularizers.dropout(Recipe())
    passed = [f"regularize-{each}-0.1" for each in ("weight_decay", "dropout")]
    assert not regularizers.is_passed(thing, passed, "table")
    assert regularizers.is_passed(thing, passed, "image")


def test_of_a_loss_the_scale_is_that_of_the_training_it_is_compared_with():
    one, other = scored(600, 0.9), scored(1200, 0.8)
    for measure, scale in (("accuracy", 1.0), ("loss", 0.8)):
        context = Context(Recipe(), facts(scored_by=measure), {})
        found = full_training.expected(one, other, context, "longer")
        assert found.tie == pytest.approx(TIE * scale)
