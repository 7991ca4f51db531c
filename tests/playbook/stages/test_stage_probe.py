"""The probe's rules on arrays, its stage on hand-made outcomes, its callback on a tiny model."""

import dataclasses

import keras
import numpy as np
import pytest

from kerastune.analysis import learning_rate_probe
from kerastune.analysis.trial_curves import Curves
from kerastune.callbacks import UpdateRatio
from kerastune.objective import Objective
from kerastune.playbook.context import Context, Facts
from kerastune.playbook.stages import probe
from kerastune.playbook.stages.baseline import baseline_recipe
from kerastune.playbook.stages.probe import Probe
from kerastune.playbook.stages.start import Start
from kerastune.recipe import Recipe
from kerastune.trial import Outcome

FACTS = Facts(1000, 100, Objective("loss", "min"), 10**6)


def suggest(optimizer, rates, losses, updates, weights, **settings):
    """`probe.suggest_learning_rate` for a model of one layer."""
    updates, weights = (np.asarray(norms, float)[:, None] for norms in (updates, weights))
    return learning_rate_probe.suggest_learning_rate(
        optimizer, np.array(rates), np.array(losses), updates, weights, **settings
    )


def test_whole_model_ratio_takes_all_layers_together_and_survives_weights_of_zero():
    ratios = learning_rate_probe.whole_model_ratio(
        np.array([[0.3, 0.4], [1.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 0.0]])
    )
    assert ratios[0] == pytest.approx(0.1)
    assert np.isfinite(ratios).all()


def test_adam_gets_the_rate_at_which_the_first_update_has_the_target_ratio():
    assert suggest("adam", [1e-3], [2.0], [0.07], [10.0]) == pytest.approx(
        learning_rate_probe.TARGET_RATIO / 0.007 * 1e-3
    )


def test_sgd_gets_the_rate_at_which_a_plain_step_removes_the_share_of_the_loss():
    gradient, loss = 5.0, 2.0
    rate = suggest(
        "sgd", [0.01], [loss], [0.01 * 1.9 * gradient], [10.0], momentum=0.9, nesterov=True
    )
    assert rate * gradient**2 == pytest.approx(learning_rate_probe.LOSS_SHARE * loss)


def test_sgds_rate_does_not_depend_on_the_weights_and_adams_not_on_the_loss():
    assert suggest("sgd", [1e-3], [2.0], [0.1], [10.0]) == suggest(
        "sgd", [1e-3], [2.0], [0.1], [99.0]
    )
    assert suggest("adam", [1e-3], [2.0], [0.1], [10.0]) == suggest(
        "adam", [1e-3], [7.0], [0.1], [10.0]
    )


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_any_rate_that_is_measured_at_suggests_the_same(optimizer):
    suggested = [
        suggest(optimizer, [rate], [2.0], [70 * rate], [10.0]) for rate in (1e-5, 1e-3, 1.0)
    ]
    assert suggested == pytest.approx([suggested[0]] * 3)


def test_nesterov_is_taken_out_of_the_update_and_less_momentum_gives_a_higher_rate():
    plain = suggest("sgd", [0.1], [2.0], [0.5], [1.0], momentum=0.9, nesterov=False)
    assert suggest(
        "sgd", [0.1], [2.0], [0.5 * 1.9], [1.0], momentum=0.9, nesterov=True
    ) == pytest.approx(plain)
    without = suggest("sgd", [0.1], [2.0], [0.5], [1.0], momentum=0.0, nesterov=False)
    assert plain < without <= 10 * plain


def test_several_starts_are_averaged_geometrically_and_unusable_ones_left_out():
    one, other = (suggest("sgd", [0.1], [loss], [0.5], [1.0]) for loss in (1.0, 4.0))
    both = suggest(
        "sgd",
        [0.1] * 6,
        [1.0, 4.0, np.nan, np.inf, -1.0, 1.0],
        [0.5, 0.5, 0.5, 0.5, 0.5, 0.0],
        [1.0] * 6,
    )
    assert both == pytest.approx(np.sqrt(one * other))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("update", [0.0, np.nan, np.inf])
def test_no_usable_measurement_is_refused(optimizer, update):
    with pytest.raises(ValueError, match="no first update"):
        suggest(optimizer, [0.1], [1.0], [update], [1.0])


def test_all_optimizers_but_sgd_have_the_rule_of_adam():
    measured = ([0.1], [1.0], [1.0], [1.0])
    assert suggest("rmsprop", *measured) == suggest("adam", *measured)


# The stage.


def outcome(spec, gradient=10.0, loss=2.0, diverged_at=None):
    """What training would give: a loss that stays, and updates of plain gradients of that norm."""
    length = spec.recipe.learning_rate * (1 + spec.recipe.momentum)
    measured = np.arange(0, spec.until, 10)
    norms = np.full([len(measured), 1], length * gradient)
    return Outcome(
        spec,
        Curves(
            {"loss": np.full(spec.until, loss, np.float32)},
            norm_steps=measured,
            update_norms=norms,
            weight_norms=np.full([len(measured), 1], 20.0),
        ),
        layers=("dense",),
        diverged_at=diverged_at,
    )


def decided(recipe, diverged_at=None, **trained):
    """The decision, and all outcomes, of a stage whose starts give these values."""
    stage, outcomes = Probe(), {}
    while specs := stage.propose(Context(recipe, FACTS, outcomes)):
        for spec in specs:
            lost = diverged_at if spec.trial == probe.TRIAL else None
            outcomes[spec.trial] = outcome(spec, diverged_at=lost, **trained)
    return stage.decide(Context(recipe, FACTS, outcomes)), outcomes


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_stage_spends_at_most_60_batches(optimizer):
    _, outcomes = decided(Recipe(optimizer=optimizer))
    assert sum(each.steps for each in outcomes.values()) <= learning_rate_probe.BATCHES
    assert len(outcomes) == learning_rate_probe.starts(optimizer) + 1


def test_the_starts_have_seeds_of_their_own_and_the_recipe_gets_the_rate_alone():
    recipe = Recipe(seed=5)
    decision, outcomes = decided(recipe)
    seeds = [each.spec.recipe.seed for name, each in outcomes.items() if name != probe.TRIAL]
    assert len(set(seeds)) == len(seeds)
    assert outcomes[probe.TRIAL].spec.recipe.seed == 5
    expected = learning_rate_probe.LOSS_SHARE * 2.0 / 10.0**2
    assert decision.after == recipe.replace(learning_rate=decision.values.learning_rate)
    assert decision.after.learning_rate == pytest.approx(expected)
    assert outcomes[probe.TRIAL].spec.recipe.learning_rate == pytest.approx(expected)


def test_a_rate_that_diverges_when_it_is_tried_out_is_lowered():
    sound, _ = decided(Recipe())
    lost, _ = decided(Recipe(), diverged_at=7)
    assert lost.after.learning_rate == pytest.approx(sound.after.learning_rate / probe.SAFER)
    assert lost.values.diverged and "step 7" in lost.reason
    assert not sound.values.diverged


@pytest.mark.parametrize("trained", [{"loss": np.nan}, {"gradient": 0.0}, {"loss": -1.0}])
def test_when_nothing_can_be_measured_the_rate_stays_and_the_reason_says_so(trained):
    decision, outcomes = decided(Recipe(learning_rate=0.02), **trained)
    assert decision.after == Recipe(learning_rate=0.02)
    assert "stays at 0.02" in decision.reason
    assert probe.TRIAL not in outcomes


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_frozen_or_dead_network_gets_no_suggestion_and_the_words_tell_it_from_other_failures(
    optimizer,
):
    for gradient in (0.0, 1e-13):
        decision, _ = decided(Recipe(optimizer=optimizer), gradient=gradient)
        assert decision.values.learning_rate is None
        assert "nothing moved" in decision.headline and "frozen layers" in decision.numbers
    failed, _ = decided(Recipe(optimizer=optimizer), loss=np.nan, gradient=np.nan)
    assert failed.headline.endswith("the probe found none")


def test_a_start_that_is_dead_does_not_lift_the_suggestion_of_the_others():
    alone = suggest("sgd", [0.1], [1.0], [0.5], [1.0])
    assert suggest("sgd", [0.1] * 2, [1.0] * 2, [0.5, 1e-10], [1.0] * 2) == pytest.approx(alone)


def test_the_stage_is_pure_and_asks_only_for_what_is_missing():
    recipe, stage = Recipe(), Probe()
    first = stage.propose(Context(recipe, FACTS, {}))
    assert stage.propose(Context(recipe, FACTS, {})) == first
    some = {spec.trial: outcome(spec) for spec in first[:3]}
    assert stage.propose(Context(recipe, FACTS, some)) == first[3:]


@pytest.mark.parametrize(
    "allowance, starts, tried", [(58, 8, True), (57, 3, True), (53, 3, True), (52, 3, False)]
)
def test_a_short_budget_gets_fewer_starts_or_no_try_out(allowance, starts, tried):
    recipe, stage = Recipe(), Probe()
    known = dataclasses.replace(FACTS, allowance=allowance)
    outcomes = {spec.trial: outcome(spec) for spec in stage.propose(Context(recipe, known, {}))[:3]}
    while specs := stage.propose(Context(recipe, known, outcomes)):
        outcomes[specs[0].trial] = outcome(specs[0])
    assert len([name for name in outcomes if name != probe.TRIAL]) == starts
    assert (probe.TRIAL in outcomes) == tried
    decision = stage.decide(Context(recipe, known, outcomes))
    assert decision.after.learning_rate == pytest.approx(
        learning_rate_probe.LOSS_SHARE * 2.0 / 10.0**2
    )
    assert ("too short to try it out" in decision.reason) == (not tried)


# The callback.


def fitted(tmp_path, optimizer, every=10, times=1, **settings):
    """The callback after one or more `fit`s of four steps of a small model from seed 1."""
    keras.utils.set_random_seed(1)
    x = np.random.default_rng(0).normal(size=(64, 5)).astype(np.float32)
    model = keras.Sequential(
        [keras.Input([5]), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(3)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, **settings)
    callback = UpdateRatio(tmp_path, every=every)
    for _ in range(times):
        model.fit(
            x,
            np.arange(64) % 3,
            batch_size=16,
            epochs=1,
            shuffle=False,
            verbose=0,
            callbacks=[callback],
        )
    return callback


@pytest.mark.parametrize("family", [keras.optimizers.SGD, keras.optimizers.Adam])
def test_the_callback_suggests_the_same_from_any_rate_and_chunk(tmp_path, family):
    suggested = [
        fitted(tmp_path, family(1e-4), steps_per_execution=1).suggest_learning_rate(),
        fitted(tmp_path, family(0.1), steps_per_execution=4).suggest_learning_rate(),
        fitted(tmp_path, family(0.01), every=1).suggest_learning_rate(),
    ]
    assert suggested == pytest.approx([suggested[0]] * 3, rel=0.01)


def test_the_callback_sees_the_gradient_of_sgds_first_step(tmp_path):
    momentum = keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True)
    plain = fitted(tmp_path, keras.optimizers.SGD(0.01)).suggest_learning_rate()
    assert fitted(tmp_path, momentum).suggest_learning_rate() == pytest.approx(
        plain * np.sqrt(0.1), rel=0.01
    )


def test_the_callback_refuses_where_the_first_step_was_not_seen(tmp_path):
    with pytest.raises(ValueError, match="first step was not measured"):
        UpdateRatio(tmp_path).suggest_learning_rate()
    with pytest.raises(ValueError, match="first step was not measured"):
        fitted(tmp_path, keras.optimizers.Adam(), times=2).suggest_learning_rate()
    assert fitted(tmp_path, keras.optimizers.RMSprop()).suggest_learning_rate() > 0


def test_a_learning_rate_that_the_network_s_authors_name_is_not_probed():
    known = {"optimizer": "adam", "learning_rate": 0.004, "batch_size": 256, "beta_2": 0.95}
    facts = dataclasses.replace(FACTS, starting_recipe=known)
    begun = Start().decide(Context(Recipe(), facts, {})).after
    assert begun == Recipe("adam", 0.004, batch_size=64, beta_2=0.95)  # 8 steps in an epoch
    context = Context(begun, facts, {})
    assert Probe().propose(context) == []
    # Where it names its steps, two calls tell how long one takes, before seconds are divided.
    named = dataclasses.replace(facts, starting_steps=800, timed=True)
    for changes, count in (
        ({}, 1),
        ({"timed": False}, 0),
        ({"allowance": 26}, 1),
        ({"allowance": 0}, 0),
    ):
        known = Context(begun, dataclasses.replace(named, **changes), {})
        specs = Probe().propose(known)
        assert len(specs) == count and all(spec.until == 100 for spec in specs)
        assert all(spec.recipe.learning_rate == 0.004 for spec in specs)
    decision = Probe().decide(context)
    assert decision.after == begun and decision.headline == "Learning rate 0.004 to begin with"
    # The baseline is Keras's defaults all the same.
    baseline = baseline_recipe(begun, facts)
    assert (baseline.learning_rate, baseline.batch_size, baseline.beta_2) == (0.001, 32, None)
    regularizing = dataclasses.replace(
        FACTS, starting_recipe={"weight_decay": 0.1, "dropout": 0.25}
    )
    begun = Start().decide(Context(Recipe(), regularizing, {})).after
    assert (begun.weight_decay, begun.dropout) == (0.1, 0.25)
    baseline = baseline_recipe(begun, regularizing)
    assert (baseline.weight_decay, baseline.dropout) == (0, None)
    # Another optimizer, or another rate, is the user's.
    for other in (begun.replace(optimizer="lion"), begun.replace(learning_rate=0.1)):
        assert Probe().propose(Context(other, facts, {}))
    # A learning rate is what the command `probe` is for.
    assert Probe(is_last=True).propose(context)


def test_a_learning_rate_that_was_given_is_not_probed():
    facts = dataclasses.replace(FACTS, given=frozenset({"learning_rate"}))
    context = Context(Recipe(learning_rate=0.3), facts, {})
    assert Probe().propose(context) == []
    decision = Probe().decide(context)
    assert decision.after == context.recipe and "given" in decision.reason
