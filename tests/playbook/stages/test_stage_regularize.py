"""Stage 4: what regularizes comes where the curves show overfitting, or gained on other tasks; one
thing after another, and only where it is expected to gain.
"""

import dataclasses
import types

import numpy as np
import pytest

from kerastune.objective import Objective
from kerastune.playbook.context import Context, Facts
from kerastune.playbook.rules import full_training, regularizers
from kerastune.playbook.rules.expected_gain import RECORDED, TIE, WIDER
from kerastune.playbook.rules.overfitting import is_cut_short, loss_rise, overfitting
from kerastune.playbook.rules.regularizers import uphill
from kerastune.playbook.stages.regularize import BASE, Regularize
from kerastune.recipe import Recipe
from kerastune.trial import Outcome, TrialSpec

CHUNK, COUNT = 50, 400
FLAT, RISING = (0.5, 0.5), (0.5, 0.53)  # validation loss in the middle and at the end
RECIPE = Recipe(learning_rate=0.03, total_steps=600)
STAGE = Regularize(CHUNK)
FIRST = [
    f"regularize-{name}"
    for name in (
        "dropout-0.3",
        "flip-True",
        "weight_decay-0.001",
        "augmentation-0.1",
        "label_smoothing-0.1",
    )
]
DROPOUT, FLIP, WEIGHT_DECAY, AUGMENTATION, SMOOTHING = FIRST
WEAKER = [
    f"regularize-{name}"
    for name in ("dropout-0.1", "weight_decay-0.0003", "augmentation-0.05", "label_smoothing-0.05")
]
LONGER, RATES = (
    "regularize-total_steps-x2",
    ["regularize-learning_rate-x2", "regularize-learning_rate-x0.5"],
)
NO_USE = {
    "dropout": "there is no such layer",
    "flip": "no input is an image",
    "label_smoothing": "the loss is mse",
    "augmentation": "all inputs are integers",
}


def facts(**changes):
    return Facts(
        **{
            "num_train": 6400,
            "num_validation": COUNT,
            "objective": Objective("accuracy", "max"),
            "allowance": 14_000,
            "num_classes": 10,
            **changes,
        }
    )


def ended(spec, share, training=1.0, losses=FLAT, falls=True, **changes):
    """A whole training: its share of validation examples that are right, and its accuracy in
    training.
    """
    total = spec.recipe.total_steps
    spec = TrialSpec(
        spec.trial, changes.pop("stage", spec.stage), spec.recipe, 0, total, CHUNK, keep_best=True
    )
    evals = tuple(
        {"step": step, "loss": loss, "accuracy": share}
        for step, loss in zip((total // 2, total), losses)
    )
    fall = (
        np.linspace(2, 0.1, total)
        if falls
        else np.r_[np.linspace(2, 0.1, total // 2), np.full(total // 2, 0.1)]
    )
    curves = {"loss": fall, "accuracy": np.full(total, training)}
    return Outcome(
        spec,
        curves,
        evals,
        example_scores=(np.arange(COUNT) < share * COUNT).astype(float),
        **changes,
    )


def drive(shares, known=None, recipe=RECIPE, later=None, **base):
    """Trains whatever is proposed, with the share of right examples that its name gives (0.7975 by
    default: noise).

    `base` are settings of the first training, which has a share of 0.8 and a validation loss that
    rises, `later` those of all others.
    """
    known, outcomes = known or facts(), {}
    while specs := STAGE.propose(Context(recipe, known, outcomes)):
        for spec in specs:
            settings = {"losses": RISING, **base} if spec.trial == BASE else later or {}
            share = shares.get(spec.trial, 0.8 if spec.trial == BASE else 0.7975)
            outcomes[spec.trial] = ended(spec, share, **settings)
    return outcomes, STAGE.decide(Context(recipe, known, outcomes))


def test_nothing_is_added_without_overfitting():
    outcomes, decision = drive({}, training=0.81, losses=FLAT)
    assert list(outcomes) == [BASE] and decision.after == RECIPE.replace(regularizers="on")
    assert (
        "No overfitting: no regularization added" in decision.reason
        and decision.values.trial == BASE
    )


@pytest.mark.parametrize(
    "signs",
    [{"training": 0.80 + 1.97 * np.sqrt(0.16 / COUNT)}, {"training": 0.8, "losses": (0.5, 0.526)}],
)
def test_a_gap_beyond_noise_or_a_rising_validation_loss_is_overfitting(signs):
    outcomes, decision = drive({}, **signs)
    assert set(outcomes) == {BASE, *FIRST, *WEAKER} and "it overfits" in decision.reason
    assert (
        decision.after == RECIPE.replace(regularizers="on")
        and decision.reason.count("so it is left out") == 5
    )


def test_things_come_one_after_another_each_on_top_of_what_was_kept():
    gains = {
        DROPOUT: 0.85,
        FLIP: 0.80,
        AUGMENTATION: 0.90,
        SMOOTHING: 0.95,
        "regularize-label_smoothing-0.2": 0.97,
    }
    outcomes, decision = drive(gains)
    after = decision.after
    assert (after.augmentation, after.dropout, after.flip, after.weight_decay) == (
        0.1,
        0.3,
        False,
        0.0,
    )
    assert after.label_smoothing == 0.2 and after.regularizers == "on"
    assert after.total_steps == 1200 and "Augmentation 0.1 over 1200 steps" in decision.reason
    assert [outcomes[name].spec.recipe.total_steps for name in FIRST] == [
        600,
        1200,
        600,
        1200,
        1200,
    ]
    assert {outcomes[name].spec.recipe.dropout for name in FIRST[1:]} == {0.3}
    assert not any(outcomes[name].spec.recipe.flip for name in FIRST[2:])
    assert outcomes[SMOOTHING].spec.recipe.augmentation == 0.1
    assert set(RATES) < set(outcomes) and set(decision.evidence) == set(outcomes)
    rates = [outcomes[name].spec.recipe for name in RATES]
    assert [each.learning_rate for each in rates] == [0.06, 0.015] and rates[
        0
    ].label_smoothing == 0.2
    assert decision.values.trial == "regularize-label_smoothing-0.2"
    kept = {each.trial for each in decision.values.gains if each.is_kept}
    assert kept == {DROPOUT, AUGMENTATION, "regularize-label_smoothing-0.2"}
    assert {each.trial for each in decision.values.gains} == set(outcomes) - {BASE}
    for words in (
        "Augmentation 0.1 over 1200 steps, the best of 3",
        "A horizontal flip over 1200 steps",
    ):
        assert words in decision.reason


@pytest.mark.parametrize("share, kept", [(0.8, False), (0.8025, True)])
def test_a_gain_need_not_be_significant_but_more_than_a_tie(share, kept):
    outcomes, decision = drive({name: share for name in FIRST})
    assert (decision.after.dropout == 0.3) is kept and (set(RATES) <= set(outcomes)) is kept
    gain = f"(measured {100 * share - 80:+.3g}, 95 % CI +0 to {'+0.75' if kept else '+0'})"
    assert f"Dropout 0.3, the best of {3 if kept else 2}" in decision.reason
    assert f"{gain}, so it is {'kept' if kept else 'left out'}" in decision.reason
    if not kept:
        assert decision.after == RECIPE.replace(regularizers="on")
        assert "No regularization helps" in decision.headline


@pytest.mark.parametrize("is_overfitting", [True, False])
def test_what_gained_on_other_tasks_is_tried_without_overfitting_too_and_first(
    recorded, is_overfitting
):
    gains = {"label_smoothing": 0.02, "flip": TIE, "dropout": -0.01}
    names = {name: RECORDED.get(name, (name, 1))[0] for name in gains}
    recorded(
        gains={
            names[name]: {"table": {"mean": mean, "std": 0.005 / WIDER, "tasks": 9}}
            for name, mean in gains.items()
        }
    )
    outcomes, decision = drive({}, losses=RISING if is_overfitting else FLAT, training=0.8)
    tried = [name for name in outcomes if name in FIRST]
    others = [FLIP, WEIGHT_DECAY, AUGMENTATION, DROPOUT]
    assert tried == [SMOOTHING, *others] if is_overfitting else tried == [SMOOTHING]
    # Nine tasks that gained outweigh what one validation example says.
    assert decision.after.label_smoothing == 0.05
    assert "(measured -0.25, 95 % CI -0.75 to +0; +2 on 9 other tasks), so it is kept" in (
        decision.reason
    )


@pytest.mark.parametrize(
    "share, both, views, kept",
    [
        (0.7975, 0.9, True, True),
        (0.7975, 0.9, False, False),
        (0.7975, 0.8, True, False),
        (0.7975, None, True, False),
        (0.805, 0.7, True, True),
        (0.805, None, True, True),
        (0.9, 0.7, True, True),
        (0.6, 0.9, True, False),
    ],
)
def test_a_flip_is_judged_with_the_mirror_images_where_views_may_be_averaged(
    share, both, views, kept
):
    stage, outcomes = Regularize(CHUNK, views=views), {}
    while specs := stage.propose(Context(RECIPE, facts(), outcomes)):
        trial = specs[0].trial
        made = ended(specs[0], {BASE: 0.8, FLIP: share}.get(trial, 0.7), losses=RISING)
        mirrored = (
            None
            if trial != FLIP or both is None
            else (np.arange(COUNT) < both * COUNT).astype(float)
        )
        outcomes[trial] = dataclasses.replace(made, mirrored_scores=mirrored)
    decision = stage.decide(Context(RECIPE, facts(), outcomes))
    assert decision.after.flip is kept and decision.values.trial == (FLIP if kept else BASE)
    # What comes on top of a flip is compared as it is: both networks could be asked twice.
    pair = (
        dataclasses.replace(outcomes[FLIP], mirrored_scores=values)
        for values in (np.ones(COUNT), np.zeros(COUNT))
    )
    compared = full_training.compare_mirrored(*pair)
    assert compared.sign == 0 and compared.mirrored is None
    is_looked_at = views and share == 0.7975 and both is not None
    assert ("with each example and its mirror image" in decision.reason) is is_looked_at


@pytest.mark.parametrize(
    "gains, first, expected",
    [
        (
            [0.0, -0.1, -0.2],
            None,
            [2, 1],
        ),  # the typical one is worse than nothing, so is the weak one
        ([0.0, 0.1, 0.3, 0.2, 0.9], None, [2, 3, 1]),  # past the peak nothing stronger is tried
        ([0.0, 0.1, 0.2, 0.3, 0.4], None, [2, 3, 4]),
        ([0.0, 0.3, -0.2, 0.9], None, [2, 1]),
        ([0.0, 0.1, float("-inf"), 0.9], None, [2, 1]),
        ([0.0, 0.1], 1, [1]),
        ([0.1, 0.0, 0.2], 0, [0]),  # rates: what is there lies between
        ([-0.1, 0.0, 0.2], 0, [0, 2]),
    ],
)
def test_strengths_are_climbed(gains, first, expected):
    first = 2 if first is None else first
    present = gains.index(0.0)
    known, tried = [0.0 if i == present else None for i in range(len(gains))], []
    while (level := uphill(known, first)) is not None:
        tried.append(level)
        known[level] = gains[level]
    assert tried == expected


def test_while_every_level_fails_the_next_beyond_them_is_tried():
    failed = float("-inf")
    gains, order = [None] * 5, []
    while (level := uphill(gains, 1)) is not None:
        order.append(level)
        gains[level] = failed if level in (1, 2) else -0.1
    assert order == [1, 2, 3, 4]
    assert uphill([None, failed, failed], 1) == 0 and uphill([failed] * 3, 1) is None


def test_what_loses_significantly_is_not_tried_any_weaker():
    outcomes, decision = drive({DROPOUT: 0.7})
    assert "regularize-dropout-0.1" not in outcomes and "regularize-augmentation-0.05" in outcomes
    assert (
        "Dropout 0.3: -" in decision.reason
        and "(measured -10, 95 % CI -13 to -7.25), so it is left out" in decision.reason
    )


def test_what_the_recipe_has_already_is_a_level_and_not_trained_again():
    given = RECIPE.replace(dropout=0.3, label_smoothing=0.15, flip=True, weight_decay=0.01)
    outcomes, decision = drive(
        {"regularize-dropout-0.5": 0.9}, recipe=given, known=facts(regularized=True)
    )
    assert "regularize-dropout-0.3" not in outcomes and decision.after.dropout == 0.5
    assert "regularize-flip-False" in outcomes and decision.after.flip
    assert decision.after.label_smoothing == 0.15 and decision.after.weight_decay == 0.01


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_weight_decay_of_sgd_is_an_l2_penalty_whatever_rate_and_steps(momentum):
    for recipe in (
        RECIPE,
        RECIPE.replace(learning_rate=0.3),
        RECIPE.replace(decay="none", total_steps=3000),
    ):
        decays = [
            each.weight_decay
            for each in regularizers.weight_decay(recipe.replace(momentum=momentum)).recipes[1:]
        ]
        np.testing.assert_allclose(
            np.array(decays) * (1 - momentum), regularizers.PENALTIES, rtol=0.05
        )


def test_weight_decay_of_adam_shrinks_a_weight_by_the_same_share_whatever_rate_and_steps():
    adam = RECIPE.replace(optimizer="adam")
    for recipe in (
        adam,
        adam.replace(learning_rate=0.001),
        adam.replace(decay="none", total_steps=3000),
    ):
        decays = [each.weight_decay for each in regularizers.weight_decay(recipe).recipes[1:]]
        area = (
            recipe.learning_rate * recipe.total_steps * (0.5 if recipe.decay == "linear" else 1.0)
        )
        np.testing.assert_allclose(np.array(decays) * area, regularizers.SHRINKS, rtol=0.15)


def test_what_is_of_no_use_is_not_trained_and_the_decision_says_why():
    outcomes, decision = drive({}, facts(unusable=NO_USE))
    assert set(outcomes) == {BASE, WEIGHT_DECAY, WEAKER[1]}
    for name, words in (
        ("dropout", "dropout"),
        ("flip", "a horizontal flip"),
        ("label_smoothing", "label smoothing"),
    ):
        assert f"{words.capitalize()} was left out, since {NO_USE[name]}" in decision.reason


def test_what_the_decay_stage_trained_is_the_base_unless_the_network_had_other_regularizers():
    spec = full_training.segment("decay-linear", "decay", RECIPE, None, CHUNK)
    trained = {"decay-linear": ended(spec, 0.8, training=0.8)}
    assert STAGE.propose(Context(RECIPE, facts(), trained)) == []
    assert STAGE.decide(Context(RECIPE, facts(), trained)).values.trial == "decay-linear"
    (spec,) = STAGE.propose(Context(RECIPE, facts(regularized=True), trained))
    assert spec.trial == BASE and spec.recipe.regularizers == "on"
    dropping = RECIPE.replace(dropout=0.3)
    spec = full_training.segment(
        "decay-linear", "decay", dropping, None, CHUNK
    )  # with its Dropout off
    (spec,) = STAGE.propose(Context(dropping, facts(), {"decay-linear": ended(spec, 0.8)}))
    assert spec.trial == BASE


def test_what_comes_on_top_of_a_training_without_regularizers_has_them_on():
    spec = full_training.segment(
        "decay-linear", "decay", RECIPE.replace(regularizers="off"), None, CHUNK
    )
    outcomes, known = {"decay-linear": ended(spec, 0.8)}, facts()
    while specs := STAGE.propose(Context(RECIPE, known, outcomes)):
        assert [each.recipe.regularizers for each in specs] == [
            "on"
        ]  # off, a dropout rate has no effect
        outcomes[specs[0].trial] = ended(specs[0], 0.9 if specs[0].trial == DROPOUT else 0.79)
    assert STAGE.decide(Context(RECIPE, known, outcomes)).after.dropout == 0.3


# More steps


def test_what_is_kept_moves_the_rate_and_gets_twice_the_steps_where_it_still_falls():
    outcomes, decision = drive({DROPOUT: 0.9, RATES[0]: 0.95, LONGER: 0.99})
    assert list(outcomes)[-2:] == [RATES[0], LONGER]
    faster = outcomes[DROPOUT].spec.recipe.replace(learning_rate=0.06)
    assert outcomes[RATES[0]].spec.recipe == faster
    assert outcomes[LONGER].spec.recipe == decision.after == faster.replace(total_steps=1200)
    assert decision.values.total_steps == 1200
    assert "training loss still falls at the end. 1200 steps: +" in decision.reason
    assert "(measured +4, 95 % CI +2.25 to +6), so it is kept" in decision.reason


def test_once_something_is_kept_a_check_of_the_rate_is_set_aside():
    outcomes, decision = drive(
        {DROPOUT: 0.9, "regularize-dropout-0.5": 0.79}, facts(allowance=600 * 6)
    )
    # The base, three rates of dropout, and two more trainings: a flip takes both, so it is left to
    # the rate.
    assert list(outcomes) == [
        BASE,
        DROPOUT,
        "regularize-dropout-0.5",
        WEAKER[0],
        WEIGHT_DECAY,
        RATES[0],
    ]
    assert (
        f"A horizontal flip was left out, the budget for it being {600 * 5} steps"
        in decision.reason
    )


@pytest.mark.parametrize("share, steps", [(0.9, 600), (0.9025, 1200)])
def test_more_steps_must_be_expected_to_gain(share, steps):
    outcomes, decision = drive({DROPOUT: 0.9, LONGER: share})
    assert LONGER in outcomes and decision.after.total_steps == steps
    assert decision.reason.count("so it is kept") == (1 if steps == 600 else 2)


@pytest.mark.parametrize("signs", [{"falls": False}, {"losses": (0.5, 0.53)}])
def test_steps_that_are_enough_are_not_lengthened(signs):
    outcomes, decision = drive({DROPOUT: 0.9}, later=signs)
    assert (
        LONGER not in outcomes
        and set(RATES) < set(outcomes)
        and "Its steps are enough" in decision.reason
    )


def test_a_cut_short_training_is_one_whose_loss_falls_and_whose_validation_loss_does_not_rise():
    spec = full_training.segment(BASE, "regularize", RECIPE, None, CHUNK)
    assert is_cut_short(ended(spec, 0.8)) and is_cut_short(ended(spec, 0.8, losses=(0.5, 0.524)))
    assert not is_cut_short(ended(spec, 0.8, losses=(0.5, 0.526)))
    assert not is_cut_short(ended(spec, 0.8, falls=False))


# Longer trainings

DOUBLED, TWICE_DOUBLED = f"{BASE}-1200", f"{BASE}-2400"


def test_while_validation_loss_does_not_rise_more_steps_come_first_as_long_as_they_pay():
    shares = {DOUBLED: 0.9, TWICE_DOUBLED: 0.9, f"{BASE}-4800": 0.99, DROPOUT: 0.95}
    outcomes, decision = drive(shares, facts(allowance=10**6), losses=FLAT)
    assert list(outcomes)[:4] == [BASE, DOUBLED, TWICE_DOUBLED, DROPOUT]
    assert [outcomes[name].spec.recipe.total_steps for name in FIRST] == [
        2400,
        4800,
        2400,
        4800,
        2400,
    ]
    assert decision.after.dropout == 0.3 and decision.after.total_steps == 2400
    assert "1200 steps against 600: +" in decision.reason and "(measured +10," in decision.reason
    assert "2400 steps against 1200: +0 points" in decision.reason
    decays = [
        each.weight_decay
        for each in regularizers.weight_decay(outcomes[DROPOUT].spec.recipe).recipes[1:]
    ]
    assert outcomes[WEIGHT_DECAY].spec.recipe.weight_decay == decays[1]


@pytest.mark.parametrize(
    "losses, rise",
    [((0.0, 0.0), 0), ((0.2, 0.0, 1e-9), 0.001), ((-2, -1), 0.5), ((0.4, 0.5), 0.25)],
)
@pytest.mark.filterwarnings("error")
def test_losses_of_nothing_rise_by_nothing_and_others_by_a_share(losses, rise):
    outcome = types.SimpleNamespace(evals=[{"loss": each} for each in losses])
    assert loss_rise(outcome) == pytest.approx(rise)


def test_a_longer_training_whose_validation_loss_rises_is_not_doubled_again():
    outcomes, _ = drive(
        {DOUBLED: 0.9}, facts(allowance=10**6), losses=FLAT, later={"losses": RISING}
    )
    assert DOUBLED in outcomes and TWICE_DOUBLED not in outcomes and DROPOUT in outcomes


@pytest.mark.parametrize("share, kept", [(0.9, False), (0.75, True)])
def test_a_longer_training_without_anything_must_be_beaten_where_it_is_better(share, kept):
    outcomes, decision = drive({DOUBLED: share, TWICE_DOUBLED: share, FLIP: 0.88}, losses=FLAT)
    assert decision.after.flip == kept and decision.values.trial == (FLIP if kept else DOUBLED)
    assert decision.after.total_steps == (2400 if kept else 1200)


@pytest.mark.parametrize(
    "allowance, is_doubled", [(600 + 5 * 1200 - 1, False), (600 + 5 * 1200, True)]
)
def test_without_room_for_more_steps_and_four_trainings_things_are_tried_at_the_length_there_is(
    allowance, is_doubled
):
    outcomes, decision = drive({}, facts(allowance=allowance), losses=FLAT)
    assert (DOUBLED in outcomes) is is_doubled and outcomes.keys() > {DROPOUT, WEAKER[0], FLIP}
    length = 1200 if is_doubled else 600
    assert outcomes[DROPOUT].spec.recipe.total_steps == length
    assert decision.after == RECIPE.replace(regularizers="on")


def test_what_was_begun_fixes_the_length_though_the_estimate_of_the_budget_changes():
    base = ended(STAGE.propose(Context(RECIPE, facts(), {}))[0], 0.8)
    begun = ended(
        full_training.segment(DROPOUT, "regularize", RECIPE.replace(dropout=0.3), None, CHUNK), 0.7
    )
    (spec,) = STAGE.propose(Context(RECIPE, facts(), {BASE: base, DROPOUT: begun}))
    assert spec.trial == FLIP and spec.recipe.total_steps == 2 * 600


# The budget

COST = (
    600 * 13
)  # the base, two of each thing but one flip, which takes twice the steps, and so does augmentation


@pytest.mark.parametrize("allowance", [0, 599, 600, 1199, 1200, 3000, 4200, COST - 1, COST])
def test_the_allowance_is_never_overrun_and_what_is_left_out_is_said(allowance):
    outcomes, decision = drive({}, facts(allowance=allowance))
    spends = min(allowance, COST) // 600 * 600 if allowance >= 1200 else 0
    assert sum(outcome.steps for outcome in outcomes.values()) == spends
    # What could be compared with nothing is left to the training.
    assert (BASE in outcomes) == (DROPOUT in outcomes) == (allowance >= 1200)
    if allowance < 1200:
        assert (
            decision.after == RECIPE
            and f"Its {allowance} steps do not hold two trainings of 600" in decision.reason
        )
    elif allowance < COST - 600:
        assert (
            f"Label smoothing was left out, the budget for it being {allowance} steps"
            in decision.reason
        )
    elif allowance < COST:
        assert "Label smoothing 0.1 (the budget held no more of them)" in decision.reason


@pytest.mark.parametrize("left, name", [(1200, "x2"), (1199, "x1.5"), (900, "x1.5"), (899, None)])
def test_half_as_many_steps_more_where_twice_as_many_do_not_fit(left, name):
    allowance = 600 * 12 + left  # the base, three of dropout, two long ones, two more, two rates
    outcomes, decision = drive(
        {DROPOUT: 0.9, "regularize-dropout-0.5": 0.79}, facts(allowance=allowance)
    )
    spent = sum(outcome.steps for trial, outcome in outcomes.items() if "total_steps" not in trial)
    longer = [trial for trial in outcomes if "total_steps" in trial]
    assert longer == ([f"regularize-total_steps-{name}"] if name else [])
    assert spent <= allowance
    if name is None:
        assert (
            f"A longer training was left out, the budget for it being {allowance} steps"
            in decision.reason
        )


def test_what_an_estimate_of_the_budget_did_not_hold_is_not_begun_behind_what_followed():
    known, outcomes = facts(allowance=1200), {}
    outcomes[BASE] = ended(STAGE.propose(Context(RECIPE, known, {}))[0], 0.8, losses=RISING)
    (spec,) = STAGE.propose(Context(RECIPE, known, outcomes))
    assert spec.trial == DROPOUT
    outcomes[spec.trial] = ended(spec, 0.7975)
    assert STAGE.propose(Context(RECIPE, known, outcomes)) == []
    flipped = full_training.segment(
        FLIP, "regularize", RECIPE.replace(flip=True, regularizers="on"), None, CHUNK
    )
    outcomes[FLIP] = ended(flipped, 0.79)
    (spec,) = STAGE.propose(Context(RECIPE, facts(), outcomes))
    assert spec.trial == WEIGHT_DECAY


def test_trainings_go_in_parts_and_those_that_fail_are_no_candidates():
    (first,) = STAGE.propose(Context(RECIPE, facts(), {}))
    assert (first.start, first.until, first.keep_best) == (0, 500, True)
    outcomes = {BASE: ended(first, 0.8, losses=RISING)}
    while (specs := STAGE.propose(Context(RECIPE, facts(), outcomes))) and "dropout" in specs[
        0
    ].trial:
        made = ended(specs[0], 0.95)
        outcomes[specs[0].trial] = Outcome(made.spec, made.curves, made.evals, diverged_at=20)
    assert {DROPOUT, WEAKER[0]} < set(outcomes)
    assert (
        "Dropout could not be trained to an end"
        in STAGE.decide(Context(RECIPE, facts(allowance=0), outcomes)).reason
    )


def test_a_regression_overfits_by_its_squared_errors():
    known = facts(objective=Objective("loss", "min"), num_classes=0, scored_by="explained variance")
    spec = full_training.segment(BASE, "regularize", RECIPE, None, CHUNK)
    run = ended(spec, 0.8)
    for training, validation, expected in ((0.1, 0.5, True), (0.48, 0.5, False)):
        evals = ({"step": 300, "loss": validation}, {"step": 600, "loss": validation})
        each = Outcome(
            run.spec, {"loss": np.full(600, training)}, evals, example_scores=run.example_scores
        )
        assert overfitting(each, known)[1] == expected
