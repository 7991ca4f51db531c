"""Which views are averaged: on predictions made by hand, where it is known which of them help."""

import json

import numpy as np
import pytest
from fake_trainer import FakeModels

from kerastune.analysis import calibration, ensemble_selection
from kerastune.analysis.view_selection import IDENTITY, choose, cross_fitted, weigh
from kerastune.objective import Objective
from kerastune.playbook.context import Context, Facts
from kerastune.playbook.ensemble_values import Validation, ValidationFigures
from kerastune.playbook.stages import registry, tta
from kerastune.playbook.stages.tta import Tta
from kerastune.recipe import Recipe

COUNT, CLASSES = 600, 4
TRUE = np.arange(COUNT) % CLASSES


def said(sureness, seed, true=TRUE):
    """Probabilities of a predictor that sees the truth under its own noise; the surer, the more
    often right.
    """
    values = sureness * np.eye(CLASSES)[true] + np.random.default_rng(seed).normal(
        size=(len(true), CLASSES)
    )
    values = np.exp(values)
    return values / values.sum(axis=1, keepdims=True)


PLAIN = said(2.0, 0)
HELPFUL = said(2.0, 1)  # as good, and other mistakes
HARMFUL = said(2.0, 2, (TRUE + 1) % CLASSES)  # takes every class for another
TOGETHER = {IDENTITY: PLAIN, "shift": HELPFUL}


def facts(**changes):
    return Facts(
        **{
            "num_train": 6400,
            "num_validation": COUNT,
            "objective": Objective("accuracy", "max"),
            "allowance": 0,
            "num_classes": CLASSES,
            **changes,
        }
    )


def figures(predictions, targets=TRUE):
    found = {"loss": ensemble_selection.losses(predictions, targets).mean()}
    return found | (
        calibration.figures(predictions, targets) if ensemble_selection.are_classes(targets) else {}
    )


def decide(predictions, targets=TRUE, **known):
    settings = {name: {"view": name} for name in predictions}
    stage = Tta(
        FakeModels(
            lambda: Validation(
                targets, None, lambda averaged: figures(averaged, targets[-len(averaged) :])
            ),
            lambda: (predictions, targets, settings),
        )
    )
    assert stage.propose(Context(Recipe(), facts(**known), {})) == []
    return stage.decide(Context(Recipe(), facts(**known), {}))


def test_a_helpful_view_is_kept_and_a_harmful_one_is_not():
    decision = decide({IDENTITY: PLAIN, "shift": HELPFUL, "flip": HARMFUL})
    values = decision.values
    assert values.kept and values.views == ("shift",) and decision.after == decision.before
    np.testing.assert_allclose(values.weights, [0.5, 0.5], atol=0.15)
    assert values.layers == {"shift": {"view": "shift"}}
    assert values.gain.low > 0.02 and values.added["shift"].low > 0
    assert values.added["flip"].high < 0 and values.alone["flip"].gain < -0.5
    assert abs(values.alone["shift"].gain) < 0.05
    shown = f"{100 * values.gain.gain:+.3g} points of accuracy on validation (95 % CI "
    assert (
        shown in decision.reason
        and "`shift` (" in decision.reason
        and "a significant gain" in decision.reason
    )
    assert "1 of 2 views alone are not significantly worse, and 1 lose: `flip` -" in decision.reason


@pytest.mark.parametrize(
    "views", [{"flip": HARMFUL}, {"same": PLAIN}, {"flip": HARMFUL, "same": PLAIN}]
)
def test_without_a_gain_the_example_is_predicted_as_it_is(views):
    decision = decide({IDENTITY: PLAIN, **views})
    assert (decision.values.views, decision.values.weights, decision.values.kept) == (
        (),
        (1.0,),
        False,
    )
    assert "No mean over any of" in decision.reason


def test_figures_are_those_of_what_is_handed_on_cross_fitted():
    predictions = {IDENTITY: PLAIN, "shift": HELPFUL}
    before, after = cross_fitted(np.stack([PLAIN, HELPFUL]), TRUE)
    kept, left = decide(predictions).values, decide({IDENTITY: PLAIN, "flip": HARMFUL}).values
    assert kept.validation == ValidationFigures(
        single=figures(PLAIN), before=figures(before), after=figures(after)
    )
    assert left.validation == ValidationFigures(figures(PLAIN)) and left.temperature_gain is None
    assert kept.loss_gain.gain == pytest.approx(figures(PLAIN)["nll"] - figures(before)["nll"])


def test_the_mean_over_views_has_a_temperature_of_its_own():
    # Either alone is calibrated; their mean is less certain than it is right.
    one, other = (calibration.tempered(said(2.0, seed), 0.5) for seed in (0, 1))
    values = decide({IDENTITY: one, "shift": other}).values
    assert (
        ensemble_selection.calibrated(one, TRUE).value
        == ensemble_selection.calibrated(other, TRUE).value
        == 1
    )
    before, after = values.validation.before, values.validation.after
    assert values.temperature < 0.9 and values.temperature_gain.low > 0
    assert values.temperature_gain.gain == pytest.approx(before["nll"] - after["nll"])
    assert (
        after["nll"] < before["nll"]
        and after["ece"] < before["ece"]
        and after["brier"] < before["brier"]
    )
    assert set(values.reliability) == {"before", "after"}


def test_on_top_of_a_bag_there_is_no_temperature():
    unsure = {name: calibration.tempered(each, 3.0) for name, each in TOGETHER.items()}
    alone, bagged = decide(unsure), decide(unsure, num_validation=COUNT // 3)
    assert alone.values.kept and alone.values.temperature < 0.8
    values = bagged.values
    assert values.kept and values.views == alone.values.views
    assert values.temperature == 1 and values.temperature_gain is None
    assert values.validation.after == values.validation.before
    assert values.reliability["after"] == values.reliability["before"]
    assert "temperature" not in bagged.numbers and "left them out" in bagged.numbers


def test_a_temperature_is_left_out_within_noise():
    decision = decide({IDENTITY: HARMFUL, "shift": calibration.tempered(HELPFUL, 0.5)})
    assert decision.values.weights == (0.0, 1.0) and decision.values.temperature == 1
    assert decision.values.validation.before == decision.values.validation.after
    assert "Of that mean, no temperature lowers its log-likelihood loss" in decision.reason


def test_a_gain_within_noise_is_no_gain_and_is_told():
    few = slice(0, 40)
    decision = decide({IDENTITY: PLAIN[few], "shift": said(2.0, 5)[few]}, TRUE[few])
    assert decision.values.tried["shift"] > 0 and decision.values.gain.low <= 0
    assert decision.values.views == () and "not significant (95 % CI includes 0)" in decision.reason
    assert "examples stay as they are. The mean of the example as it is (" in decision.reason


def test_the_gain_is_that_of_weights_found_on_other_examples():
    # Views without any sense: the best of many looks like a gain where it was chosen, and nowhere
    # else.
    generator = np.random.default_rng(3)
    targets = np.arange(60) % CLASSES
    plain = np.full([60, CLASSES], 1 / CLASSES)
    stacked = np.stack([plain, *(generator.dirichlet(np.ones(CLASSES), 60) for _ in range(12))])
    weights = weigh(stacked, targets)
    fitted = np.tensordot(weights, stacked, axes=1)
    honest, _ = cross_fitted(stacked, targets)
    found, true_loss = (
        ensemble_selection.losses(each, targets).mean() for each in (fitted, honest)
    )
    assert found < ensemble_selection.losses(plain, targets).mean() - 0.02 < true_loss
    names = [IDENTITY, *map(str, range(12))]
    assert not choose(dict(zip(names, stacked)), targets).is_kept


def test_weights_are_shares_of_at_most_so_many_views():
    stacked = np.stack([said(2.0, seed) for seed in range(8)])
    for most in (1, 3, 8):
        weights = weigh(stacked, TRUE, most)
        assert (
            weights.sum() == pytest.approx(1)
            and weights.min() >= 0
            and 0 < np.count_nonzero(weights) <= most
        )


def test_numbers_are_averaged_by_their_squared_errors():
    generator = np.random.default_rng(1)
    truth = generator.normal(size=[COUNT, 2])
    near = [truth + 0.3 * generator.normal(size=truth.shape) for _ in range(2)]
    predictions = {IDENTITY: near[0], "noise-1": near[1], "noise-2": -truth}
    values = decide(predictions, truth, num_classes=0, scored_by="explained variance").values
    assert values.temperature == 1 and values.validation.after == values.validation.before
    assert values.views == ("noise-1",) and values.gain.gain == pytest.approx(0.045, abs=0.01)


def test_the_same_predictions_decide_the_same_in_any_order_and_the_decision_is_plain():
    predictions = {"flip": HARMFUL, "shift": HELPFUL, IDENTITY: PLAIN}
    one, other = decide(predictions), decide(dict(reversed(predictions.items())))
    assert one.values.weights == other.values.weights and one.values.gain == other.values.gain
    assert registry.decision(json.loads(json.dumps(one.to_dict()))) == one


@pytest.mark.parametrize(
    "predictions, why",
    [({}, "There is no model, or no view"), ({IDENTITY: PLAIN}, "No time was left")],
)
def test_without_model_or_views_there_is_nothing_to_choose(predictions, why):
    decision = decide(predictions)
    assert decision.values.views == () and why in decision.reason


@pytest.mark.parametrize(
    "predictions, words",
    [
        ({"flip": PLAIN}, "must have those of the unchanged examples, under 'identity'"),
        ({IDENTITY: PLAIN, "flip": PLAIN[1:]}, "view `flip` must be \\[600 examples"),
        ({IDENTITY: PLAIN, "flip": PLAIN * np.nan}, "view `flip` are not finite"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(predictions, words):
    with pytest.raises(ValueError, match=words):
        choose(predictions, TRUE)


def test_the_sentence_names_the_worst_of_many_views():
    predictions = {
        IDENTITY: PLAIN,
        **{f"flip-{n}": said(2.0, n, (TRUE + 1) % CLASSES) for n in range(5)},
    }
    reason = decide(predictions).reason
    assert "0 of 5 views alone are not significantly worse, and 5 lose: the most `flip-" in reason
    assert reason.count("`flip-") == tta.NAMED
