"""The stages as pure functions: what they propose and decide on made-up outcomes."""

import dataclasses
import itertools
import json
import random

import numpy as np
import pytest
from fake_trainer import CHUNK, FakeTrainer, facts

from kerastune.objective import Objective
from kerastune.playbook import context
from kerastune.playbook.context import Context, spent
from kerastune.playbook.decision import Decision
from kerastune.playbook.rules.convergence import Convergence, convergence
from kerastune.playbook.rules.rate_grid import FINER
from kerastune.playbook.stages import registry
from kerastune.playbook.stages.baseline import Baseline, BaselineValues
from kerastune.playbook.stages.batch import Batch
from kerastune.playbook.stages.learning_rate import LearningRate
from kerastune.playbook.stages.recipes import Recipes
from kerastune.playbook.stages.regularize import Regularize
from kerastune.playbook.stages.stage_setup import Setup
from kerastune.playbook.stages.start import Start, StartValues, starting_batch_size
from kerastune.playbook.stages.train import Train
from kerastune.recipe import Recipe
from kerastune.trial import Outcome, TrialSpec

STAGE = LearningRate(CHUNK)


def shuffled(outcomes, seed=0):
    items = list(outcomes.items())
    random.Random(seed).shuffle(items)
    return dict(items)


def drive(
    stage,
    trainer=None,
    recipe=Recipe(learning_rate=0.03),
    known=None,
    outcomes=None,
    look=lambda *a: None,
):
    """Trains what a stage proposes until it decides; gives the outcomes and the decision."""
    trainer, known = trainer or FakeTrainer(), known or facts()
    outcomes, states = dict(outcomes or {}), {}
    while proposed := stage.propose(Context(recipe, known, outcomes)):
        look(proposed, outcomes)
        spec = proposed[0]
        outcome, states[spec.trial], _ = trainer.run(
            spec, states.get(spec.trial) if spec.start else None
        )
        outcomes[spec.trial] = outcome.after(outcomes.get(spec.trial))
    return outcomes, stage.decide(Context(recipe, known, outcomes))


def made(rate, losses, stage="lr", until=None, trial=None, evals=(), **changes):
    """An outcome with a curve made by hand."""
    until = until or len(losses)
    recipe = Recipe(learning_rate=rate, decay="none", total_steps=until)
    spec = TrialSpec(trial or f"{stage}-{rate:g}", stage, recipe, 0, until)
    return Outcome(spec, {"loss": np.asarray(losses, np.float32)}, tuple(evals), **changes)


def falling(steps=100, tau=20.0, floor=0.1):
    return floor + 2 * np.exp(-np.arange(steps) / tau)


def diverged(rate, at=7, steps=50):
    losses = np.ones(steps)
    losses[at:] = np.nan
    return made(rate, losses, until=100, diverged_at=at)


def by_name(*outcomes):
    return {outcome.spec.trial: outcome for outcome in outcomes}


def rates(specs):
    return sorted(spec.recipe.learning_rate for spec in specs)


# base


@pytest.mark.parametrize("headline, numbers", [("  ", "why"), ("Why", " ")])
def test_a_decision_without_a_reason_is_refused(headline, numbers):
    with pytest.raises(ValueError, match="lr has no headline or no numbers"):
        Decision("lr", Recipe(), Recipe(), headline, numbers)


def test_a_headline_has_at_most_twelve_words():
    Decision("lr", Recipe(), Recipe(), "a " * 12, "why")
    with pytest.raises(ValueError, match="at most 12 words, got 'a a"):
        Decision("lr", Recipe(), Recipe(), "a " * 13, "why")


def test_a_decision_survives_its_plain_values():
    given = Decision("?", Recipe(), Recipe(seed=3), "Why", "why", ("a", "b"), {"n": 1})
    assert registry.decision(json.loads(json.dumps(given.to_dict()))) == given


def test_epochs_are_for_people():
    assert facts(num_train=6400).epochs(200, 64) == 2.0
    assert facts(num_train=0).epochs(200, 64) == 0.0


def test_evaluations_come_in_whole_chunks_and_cost_about_a_tenth():
    for validation, batch in itertools.product((1, 100, 6000, 100000), (1, 32, 64, 1024)):
        every = context.evaluation_interval(validation, batch, CHUNK)
        assert every % CHUNK == 0 and every >= CHUNK
        assert validation / 3 <= 0.1 * every * batch
        assert every == CHUNK or validation / 3 > 0.1 * (every - CHUNK) * batch


def test_spent_counts_the_steps_of_one_stage():
    outcomes = by_name(
        made(1, np.ones(30)), made(2, np.ones(20)), made(3, np.ones(50), stage="train")
    )
    assert spent(outcomes, "lr") == 50 and spent(outcomes, "train") == 50 and spent({}, "lr") == 0


# start


def size(**known):
    return starting_batch_size(facts(**known))[0]


def test_sixty_four_is_a_good_start():
    assert size(num_train=50_000, num_parameters=100_000) == 64
    assert size(num_train=0) == 64


def test_imbalanced_classes_get_larger_batches():
    assert size(num_train=50_000, imbalanced=True) == 128


def test_few_examples_for_a_large_model_get_smaller_batches():
    assert size(num_train=4000, num_parameters=50_000) == 32
    assert size(num_train=4000, num_parameters=30_000) == 64
    assert size(num_train=40_000, num_parameters=50_000_000) == 64


@pytest.mark.parametrize("num_train", [1, 5, 20, 100, 400])
def test_an_epoch_keeps_eight_steps_where_it_can(num_train):
    found = size(num_train=num_train)
    assert 1 <= found <= max(1, num_train // 8)


def test_start_trains_nothing_and_gives_its_reason():
    outcomes, decision = drive(Start(), known=facts(num_train=80))
    assert outcomes == {} and decision.after == decision.before.replace(
        batch_size=8, optimizer="adam", learning_rate=1e-3
    )
    assert "80 training examples" in decision.reason and decision.values == StartValues(8)


@pytest.mark.parametrize(
    ("given", "begun"),
    [
        ({"optimizer": "rmsprop"}, ("rmsprop", 1e-3, 64)),
        ({"optimizer": "sgd"}, ("sgd", 1e-2, 64)),
        ({"learning_rate": 0.3}, ("adam", 0.3, 64)),
        ({"batch_size": 7}, ("adam", 1e-3, 7)),
        ({"optimizer": "lion", "learning_rate": 1e-4, "batch_size": 8}, ("lion", 1e-4, 8)),
    ],
)
def test_what_the_user_gave_is_where_the_search_starts(given, begun):
    known = facts(num_train=50_000, given=frozenset(given))
    decision = Start().decide(context.Context(Recipe(**given), known, {}))
    after = decision.after
    assert (after.optimizer, after.learning_rate, after.batch_size) == begun
    assert "as given" in decision.reason


def test_a_networks_values_of_another_optimizer_stay_out():
    network = {"optimizer": "adam", "learning_rate": 4e-3, "beta_2": 0.95, "label_smoothing": 0.1}
    network["weight_decay"] = 0.1
    known = facts(num_train=50_000, starting_recipe=network, given=frozenset({"optimizer"}))
    after = Start().decide(context.Context(Recipe(optimizer="lion"), known, {})).after
    assert (after.beta_2, after.weight_decay, after.label_smoothing) == (None, 0, 0.1)
    after = Start().decide(context.Context(Recipe(optimizer="adam"), known, {})).after
    assert (after.learning_rate, after.beta_2, after.weight_decay) == (4e-3, 0.95, 0.1)


# convergence


def test_the_earlier_of_training_loss_and_validation_has_converged():
    slow = falling(2000, tau=400)
    evals = [{"step": step, "loss": 0.5, "accuracy": 0.9} for step in range(100, 2001, 100)]
    by_validation = convergence(made(0.1, slow, evals=evals), facts())
    assert by_validation.step == 100 and by_validation.by == "validation"
    rising = [
        {"step": s, "loss": 3 - s / 1000, "accuracy": s / 2000} for s in range(100, 2001, 100)
    ]
    by_loss = convergence(made(0.1, falling(2000, tau=50), evals=rising), facts())
    assert by_loss.step == pytest.approx(196, rel=0.2) and by_loss.by == "training loss"


def test_without_evaluations_the_training_loss_decides():
    assert convergence(made(0.1, falling(2000, tau=50)), facts()).by == "training loss"


def test_what_has_not_seen_every_example_has_not_converged():
    flat = made(0.1, falling(2000, tau=50))  # batches of 64
    seen = 2000 * flat.spec.recipe.batch_size
    assert (
        convergence(flat, facts(num_train=seen)).is_certain
        and convergence(flat, facts(num_train=0)).is_certain
    )
    found = convergence(flat, facts(num_train=seen + 1))
    assert not found.is_certain and found.total_steps == 4000


def test_an_objective_to_be_minimized_settles_too():
    evals = [{"step": s, "loss": max(3 - s / 100, 1.0)} for s in range(100, 2001, 100)]
    found = convergence(
        made(0.1, falling(2000, tau=1000), evals=evals), facts(objective=Objective("loss", "min"))
    )
    assert found.by == "validation" and found.step in (100, 200)


def test_convergence_is_certain_when_it_was_watched_for_one_and_a_half_times_as_long():
    assert Convergence(1000, 1500, "validation", 1000).is_certain
    assert not Convergence(1000, 1499, "validation", 1000).is_certain
    assert Convergence(1000, 1500, "validation", 1000).total_steps == 1500
    assert Convergence(1000, 1000, "validation", 1000).total_steps == 2000


# the learning rate: which rates


def test_the_coarse_grid_is_centred_by_the_suggestion():
    for suggested, wanted in [
        (0.03, [0.001, 0.01, 0.1]),
        (0.04, [0.01, 0.1, 1]),
        (1e-4, [1e-5, 1e-4, 1e-3]),
    ]:
        assert rates(
            STAGE.propose(Context(Recipe(learning_rate=suggested), facts(), {}))
        ) == pytest.approx(wanted)


@pytest.mark.parametrize("suggested, center", [(1e-30, 1e-5), (1e9, 1.0)])
def test_an_absurd_suggestion_is_brought_back_to_the_grid(suggested, center):
    wanted = [center / 10, center, center * 10]
    assert rates(
        STAGE.propose(Context(Recipe(learning_rate=suggested), facts(), {}))
    ) == pytest.approx(wanted)


def test_finer_rates_surround_the_best_coarse_one():
    outcomes = by_name(
        made(0.01, falling(tau=60)), made(0.1, falling(tau=20)), made(1.0, falling(floor=1.0))
    )
    wanted = [0.1 * factor for factor in FINER]
    assert rates(
        STAGE.propose(Context(Recipe(learning_rate=0.1), facts(), outcomes))
    ) == pytest.approx(wanted)


@pytest.mark.parametrize("best, beyond", [(1.0, 10.0), (0.01, 0.001)])
def test_a_best_rate_on_the_edge_extends_the_grid_there(best, beyond):
    outcomes = by_name(*[made(r, falling(tau=20 if r == best else 90)) for r in (0.01, 0.1, 1.0)])
    assert rates(STAGE.propose(Context(Recipe(learning_rate=0.1), facts(), outcomes))) == [beyond]


def test_extension_goes_on_while_the_best_is_on_the_edge():
    _, decision = drive(STAGE, FakeTrainer(best_rate=3e-5, tau=30), Recipe(learning_rate=0.1))
    assert decision.after.learning_rate == pytest.approx(3e-5)
    _, decision = drive(STAGE, FakeTrainer(best_rate=3.0, tau=30), Recipe(learning_rate=1e-3))
    assert decision.after.learning_rate == pytest.approx(3.0)


def test_the_grid_ends_somewhere():
    outcomes, decision = drive(STAGE, FakeTrainer(best_rate=1e6), Recipe(learning_rate=1.0))
    assert max(decision.values.rates) <= 30 and len(outcomes) < 15
    outcomes, decision = drive(STAGE, FakeTrainer(best_rate=1e-12), Recipe(learning_rate=1e-5))
    assert min(decision.values.rates) >= 1e-8 and len(outcomes) < 15


def test_while_all_diverge_the_grid_goes_down():
    outcomes = by_name(diverged(0.01), diverged(0.1), diverged(1.0))
    assert rates(STAGE.propose(Context(Recipe(learning_rate=0.1), facts(), outcomes))) == [0.001]


def test_when_everything_diverges_the_rate_stays_and_the_reason_says_so():
    outcomes, decision = drive(STAGE, FakeTrainer(best_rate=1e-30), Recipe(learning_rate=0.02))
    assert all(outcome.diverged_at is not None for outcome in outcomes.values())
    assert decision.after == decision.before and "diverged" in decision.reason


def test_the_only_rate_that_survives_is_chosen():
    trainer = FakeTrainer(best_rate=1e-3, diverges_above=0.2)
    outcomes, decision = drive(STAGE, trainer, Recipe(learning_rate=0.1))
    sound = [o.spec.recipe.learning_rate for o in outcomes.values() if o.diverged_at is None]
    assert decision.after.learning_rate in sound
    assert set(decision.values.diverged) == set(decision.values.rates) - set(sound)


def test_the_reason_names_the_rates_that_are_alike_within_noise():
    curves = {
        0.01: falling(2000, tau=60),
        0.03: falling(2000, floor=0.5),
        0.1: falling(2000, tau=20),
    }
    outcomes = by_name(*(made(rate, losses) for rate, losses in curves.items()), diverged(1.0))
    reason = STAGE.decide(Context(Recipe(learning_rate=0.03), facts(), outcomes)).reason
    assert "Learning rate 0.1" in reason and ", tied with 0.01." in reason
    outcomes = by_name(made(0.01, falling(2000, floor=0.5)), made(0.1, falling(2000, tau=20)))
    assert (
        "tied with"
        not in STAGE.decide(Context(Recipe(learning_rate=0.03), facts(), outcomes)).reason
    )


def test_one_rate_alone_decides_nothing():
    recipe = Recipe(learning_rate=0.004)
    decision = STAGE.decide(Context(recipe, facts(), by_name(made(0.001, falling()))))
    assert decision.after == recipe and decision.values.learning_rate is None
    assert "its budget held 0.001 alone" in decision.numbers.lower()


def test_of_a_network_that_names_its_recipe_nothing_is_compared_where_a_bag_follows():
    recipe = Recipe(learning_rate=0.004, decay="linear")
    names = {"optimizer": recipe.optimizer, "learning_rate": 0.004}
    given = {"starting_recipe": names, "starting_steps": 800}
    for stage in (STAGE, Batch(CHUNK)):
        known = Context(recipe, facts(bags=True, **given), {})
        assert not stage.propose(known) and stage.decide(known).after == recipe
        assert "learnt well with it on most tables" in stage.decide(known).numbers
        assert stage.propose(Context(recipe, facts(**given), {}))
    for stage in (Recipes(CHUNK), Regularize(CHUNK)):
        known = facts(bags=True, allowance=9000, **given)
        told = stage.decide(Context(recipe, known, {}))
        assert not stage.propose(Context(recipe, known, {})) and told.after == recipe
        assert "verages of models did better on other data sets" in told.numbers
        others = {"bags": False}, {"starting_recipe": {}}, {"given": {"dropout"}}
        for other in (*others, {"starting_steps": 0}):
            assert stage.propose(Context(recipe, dataclasses.replace(known, **other), {}))


def test_of_a_network_that_names_its_steps_one_rate_is_followed_no_further():
    recipe, trainer = Recipe(learning_rate=0.1), FakeTrainer()
    known = facts(starting_recipe={"optimizer": recipe.optimizer}, starting_steps=5000)
    _, decision = drive(STAGE, trainer, recipe, known)
    _, watched = drive(STAGE, FakeTrainer(), recipe)
    assert decision.values.learning_rate == watched.values.learning_rate
    assert decision.values.steps_spent < watched.values.steps_spent
    assert "for 5,000 steps" in decision.headline
    assert "5000 steps" in decision.numbers and "suit this network" in decision.numbers


def test_equal_rates_go_to_the_lower_one():
    same = falling(2000, tau=20)
    outcomes = by_name(*[made(r, same) for r in (0.01, 0.1, 1.0)])
    # On the edge of the coarse grid, so it goes on downwards.
    assert rates(STAGE.propose(Context(Recipe(learning_rate=0.1), facts(), outcomes))) == [0.001]


def test_tried_rates_are_not_proposed_again():
    def look(proposed, outcomes):
        begun = [spec.recipe.learning_rate for spec in proposed if spec.start == 0]
        tried = [outcome.spec.recipe.learning_rate for outcome in outcomes.values()]
        assert not set(begun) & set(tried) and len(set(begun)) == len(begun)

    drive(STAGE, look=look)


@pytest.mark.parametrize("above, first", [(10, [0.3, 0.2]), (40, [0.03, 0.05])])
def test_what_the_budget_does_not_hold_of_finer_rates_is_what_lies_on_the_worse_side(above, first):
    """Coarse rates of three decades, of which 0.1 is best, with another one above it."""
    recipe, taus = Recipe(learning_rate=0.1), {0.01: 20, 0.1: 5, 1.0: above}
    horizon = STAGE.first_horizon(Context(recipe, facts(), {}))
    outcomes = by_name(*[made(rate, falling(horizon, tau=tau)) for rate, tau in taus.items()])
    for count in (0, 1, 2, 4):
        context = Context(recipe, facts(allowance=(3 + count) * horizon), outcomes)
        found = [spec.recipe.learning_rate for spec in STAGE.propose(context)]
        assert len(found) == count and found[:2] == first[:count]


def test_trials_of_other_stages_are_no_evidence():
    others = by_name(
        made(0.1, falling(tau=1), stage="probe"), made(0.2, falling(tau=1), stage="baseline")
    )
    recipe = Recipe(learning_rate=0.1)
    assert STAGE.propose(Context(recipe, facts(), others)) == STAGE.propose(
        Context(recipe, facts(), {})
    )


# the learning rate: who goes on


def test_trials_run_at_a_constant_rate_with_the_recipe_they_were_given():
    recipe = Recipe(
        learning_rate=0.03,
        momentum=0.5,
        batch_size=32,
        decay="linear",
        hyperparameters={"units": 4},
    )
    for spec in STAGE.propose(Context(recipe, facts(), {})):
        assert spec.recipe.decay == "none" and spec.stage == "lr" and spec.start == 0
        kept = spec.recipe.replace(
            learning_rate=0.03, decay="linear", total_steps=recipe.total_steps
        )
        assert kept == recipe


def test_every_horizon_is_made_of_whole_chunks_and_evaluations():
    for train, validation, batch in itertools.product((50, 1200, 10**6), (10, 6000), (1, 64, 500)):
        known = facts(num_train=train, num_validation=validation)
        horizon = STAGE.first_horizon(Context(Recipe(batch_size=batch), known, {}))
        assert horizon % CHUNK == 0 and horizon >= 100
        assert horizon <= max(500, train / batch / 4 + CHUNK)
        assert {
            spec.until % spec.eval_every
            for spec in STAGE.propose(Context(Recipe(batch_size=batch), known, {}))
        } == {0}


def test_a_diverging_trial_never_goes_on():
    def look(proposed, outcomes):
        for spec in proposed:
            assert spec.start == 0 or outcomes[spec.trial].diverged_at is None

    trainer = FakeTrainer(diverges_above=1.5)
    outcomes, decision = drive(STAGE, trainer, look=look)
    lost = [name for name, outcome in outcomes.items() if outcome.diverged_at is not None]
    assert lost and all(sum(spec.trial == name for spec in trainer.segments) == 1 for name in lost)
    assert decision.after.learning_rate not in decision.values.diverged


def test_at_most_three_and_then_two_go_on_then_the_leader_alone():
    trainer = FakeTrainer(tau=400)
    drive(STAGE, trainer)
    by_start = {}
    for spec in trainer.segments:
        by_start.setdefault(spec.start, set()).add(spec.trial)
    starts = sorted(by_start)
    assert starts[0] == 0 and len(starts) >= 4
    assert len(by_start[starts[1]]) <= 3 and len(by_start[starts[2]]) <= 2
    assert all(len(by_start[start]) == 1 for start in starts[3:])
    for earlier, later in itertools.pairwise(starts[1:]):
        assert by_start[later] <= by_start[earlier]


def test_trials_go_on_from_where_they_stood_and_twice_as_far():
    trainer = FakeTrainer(tau=400)
    drive(STAGE, trainer)
    for spec in trainer.segments:
        assert spec.start == 0 or spec.until == 2 * spec.start


def test_the_best_three_go_on_and_a_diverged_one_is_no_candidate():
    floors = {0.01: 1.9, 0.1: 0.1, 1.0: 1.8, 0.03: 0.3, 0.05: 0.11, 0.2: 0.12, 0.3: 1.7}
    outcomes = by_name(
        *[made(rate, falling(tau=20, floor=floor)) for rate, floor in floors.items()]
    )
    recipe = Recipe(learning_rate=0.1)
    assert rates(STAGE.propose(Context(recipe, facts(), outcomes))) == [0.05, 0.1, 0.2]
    assert rates(
        STAGE.propose(Context(recipe, facts(), {**outcomes, **by_name(diverged(0.2))}))
    ) == [
        0.03,
        0.05,
        0.1,
    ]


def test_the_leader_goes_on_until_it_was_watched_past_convergence():
    outcomes, decision = drive(STAGE, FakeTrainer(tau=400))
    leader = outcomes[f"lr-{decision.after.learning_rate:g}"]
    found = convergence(leader, facts())
    assert found.is_certain and decision.values.converged is True
    assert decision.after.total_steps == found.total_steps
    assert leader.steps == max(outcome.steps for outcome in outcomes.values())
    assert leader.steps < 4 * found.step + 400


def test_a_leader_that_diverges_later_gives_way_to_the_next():
    class Late(FakeTrainer):
        def losses(self, recipe, steps):
            losses, lost = super().losses(recipe, steps)
            if recipe.learning_rate == 0.03 and steps > 250:
                losses[250:], lost = np.nan, 250
            return losses, lost

    outcomes, decision = drive(STAGE, Late(tau=300))
    assert outcomes["lr-0.03"].diverged_at == 250
    chosen = outcomes[f"lr-{decision.after.learning_rate:g}"]
    assert chosen.diverged_at is None and convergence(chosen, facts()).is_certain


def test_a_trial_that_a_callback_stopped_goes_no_further_and_may_still_win():
    trainer = FakeTrainer(tau=100, stops_at={"lr-0.03": 150})
    outcomes, decision = drive(STAGE, trainer)
    assert outcomes["lr-0.03"].steps == 150
    assert [spec.until for spec in trainer.segments if spec.trial == "lr-0.03"] == [100, 200]
    assert decision.after.learning_rate == 0.03 and "stopped at step 150" in decision.reason


def test_a_follower_that_a_callback_stopped_goes_no_further_either():
    trainer = FakeTrainer(stops_at={"lr-0.05": 150})
    _, decision = drive(STAGE, trainer)
    assert [spec.until for spec in trainer.segments if spec.trial == "lr-0.05"] == [100, 200]
    assert decision.after.learning_rate == 0.03


def test_callbacks_that_stop_every_trial_still_end_in_a_decision():
    class Impatient(FakeTrainer):
        def _end(self, spec, diverged_at):
            return spec.start + CHUNK

    outcomes, decision = drive(STAGE, Impatient())
    assert {outcome.steps for outcome in outcomes.values()} == {CHUNK}
    assert 0.02 < decision.after.learning_rate < 0.2 and "stopped at step 50" in decision.reason


# the learning rate: what it costs and says


@pytest.mark.parametrize("allowance", [0, 50, 299, 300, 699, 700, 900, 1500, 5000])
def test_the_allowance_is_never_overrun(allowance):
    outcomes, decision = drive(STAGE, FakeTrainer(tau=1000), known=facts(allowance=allowance))
    assert spent(outcomes, "lr") <= allowance
    assert bool(outcomes) == (allowance >= 300)
    assert decision.values.converged is False
    if outcomes:
        assert "budget of the stage ended" in decision.reason and decision.after.total_steps >= 100
    else:
        assert (
            decision.after == decision.before
            and f"The {allowance} steps of its budget" in decision.reason
        )


SHAPES = [
    *itertools.product([(1200, 200), (6400, 400)], [10, 50, 300, 1000], [0.001, 0.03, 0.3]),
    *itertools.product([(54_000, 6000)], [300, 3000], [0.001, 0.3]),
    *itertools.product([(20_000, 20_000)], [50, 300, 3000], [0.03]),
    *itertools.product([(60_000, 100_000)], [300, 3000], [0.03]),
]


@pytest.mark.parametrize("sizes, tau, suggested", SHAPES)
def test_the_stage_costs_at_most_four_trainings(sizes, tau, suggested):
    known = facts(num_train=sizes[0], num_validation=sizes[1])
    trainer = FakeTrainer(tau=tau, num_validation=sizes[1])
    outcomes, decision = drive(STAGE, trainer, Recipe(learning_rate=suggested), known)
    assert spent(outcomes, "lr") <= 4 * decision.after.total_steps
    assert decision.values.steps_spent == spent(outcomes, "lr")
    assert 0.01 <= decision.after.learning_rate <= 0.1


def test_the_decision_gives_its_numbers_and_its_evidence():
    outcomes, decision = drive(STAGE, FakeTrainer(diverges_above=8))
    values = decision.values
    for number in (
        len(outcomes),
        f"{values.learning_rate:g}",
        values.converged_step,
        values.total_steps,
    ):
        assert str(number) in decision.reason
    assert set(decision.evidence) == set(outcomes) and "epochs" in decision.reason
    assert list(values.rates) == sorted(values.rates) and values.suggested == 0.03
    changed = decision.after.replace(learning_rate=0.03, total_steps=decision.before.total_steps)
    assert changed == decision.before


def test_a_stream_of_unknown_length_has_no_epochs_and_still_a_decision():
    _, decision = drive(STAGE, known=facts(num_train=0))
    assert "epochs" not in decision.reason and decision.after.learning_rate == 0.03


# purity

STAGES = [Start(), Baseline(CHUNK), LearningRate(CHUNK), Train(CHUNK)]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_the_same_records_give_the_same_proposals_and_decision_in_any_order(stage):
    recipe = Recipe(learning_rate=0.03, total_steps=600)

    def look(proposed, outcomes):
        for seed in range(3):
            again = type(stage)(CHUNK) if stage.name != "start" else Start()
            assert again.propose(Context(recipe, facts(), shuffled(outcomes, seed))) == proposed

    outcomes, decision = drive(stage, recipe=recipe, look=look)
    # Others' trials are there too, and one of each kind of ending.
    for seed in range(5):
        again = type(stage)(CHUNK) if stage.name != "start" else Start()
        assert again.decide(Context(recipe, facts(), shuffled(outcomes, seed))) == decision
        assert again.propose(Context(recipe, facts(), shuffled(outcomes, seed))) == []


def test_stages_change_nothing_that_they_are_given():
    recipe = Recipe(learning_rate=0.03)
    outcomes, _ = drive(STAGE, recipe=recipe)
    before = {name: (dataclasses.replace(o), o.losses.copy()) for name, o in outcomes.items()}
    STAGE.propose(Context(recipe, facts(), outcomes))
    STAGE.decide(Context(recipe, facts(), outcomes))
    assert list(before) == list(outcomes)
    for name, (outcome, losses) in before.items():
        assert outcomes[name].spec is outcome.spec and outcomes[name].evals is outcome.evals
        np.testing.assert_array_equal(outcomes[name].losses, losses)


# the baseline

BASELINE = Baseline(CHUNK)


def test_the_baseline_is_what_a_keras_user_does_today():
    recipe = Recipe(
        learning_rate=0.3, momentum=0.5, regularizers="off", hyperparameters={"units": 3}, seed=9
    )
    (spec,) = BASELINE.propose(Context(recipe, facts(), {}))
    used = spec.recipe
    assert (used.optimizer, used.learning_rate, used.batch_size, used.decay) == (
        "adam",
        1e-3,
        32,
        "none",
    )
    assert (used.initializers, used.regularizers) == ("keep", "on")
    assert used.hyperparameters == {"units": 3} and used.seed == 9 and spec.keep_best


def test_the_baseline_is_trained_until_it_has_converged():
    outcomes, decision = drive(BASELINE, FakeTrainer(tau=150))
    done = outcomes["baseline"]
    assert convergence(done, facts()).is_certain and "until it had converged" in decision.reason
    assert decision.after == decision.before
    best = max(values["accuracy"] for values in done.evals)
    assert decision.values == BaselineValues(done.steps, best) and f"{best:.4g}" in decision.reason


@pytest.mark.parametrize("allowance", [0, 49, 50, 120, 500, 777, 2000])
def test_the_baseline_stays_within_its_allowance(allowance):
    outcomes, decision = drive(
        BASELINE, FakeTrainer(tau=10_000), known=facts(allowance=allowance, num_validation=9)
    )
    assert spent(outcomes, "baseline") == allowance // CHUNK * CHUNK
    assert (
        ("whole budget" in decision.reason)
        if outcomes
        else (f"{allowance} steps" in decision.reason)
    )


def test_a_baseline_that_diverges_or_was_stopped_is_told_as_such():
    _, lost = drive(BASELINE, FakeTrainer(best_rate=1e-6))
    assert "diverged at step" in lost.reason and lost.values.diverged_at is not None
    outcomes, stopped = drive(BASELINE, FakeTrainer(tau=10_000, stops_at={"baseline": 150}))
    assert outcomes["baseline"].steps == 150 and "stopped (150 steps)" in stopped.reason


def test_a_baseline_without_a_finite_validation_value_is_told_as_such():
    evals = [{"step": step, "loss": np.nan, "accuracy": np.nan} for step in (100, 200)]
    outcomes = by_name(made(1e-3, falling(200), stage="baseline", trial="baseline", evals=evals))
    assert (
        "no finite validation accuracy"
        in BASELINE.decide(Context(Recipe(), facts(), outcomes)).reason
    )


# training

TRAIN = Train(CHUNK)
TUNED = Recipe(learning_rate=0.03, total_steps=600)


def scored(total, share, name=None, stage="train", count=400, steps=None, **changes):
    """A finished training with a share of the validation examples right, the easiest ones."""
    steps = steps or total
    evals = changes.pop("evals", [{"step": steps, "loss": 1 - share, "accuracy": share}])
    right = (np.arange(count) < round(share * count)).astype(np.float32)
    recipe = TUNED.replace(total_steps=total, regularizers="on")
    spec = TrialSpec(name or f"train-{total}", stage, recipe, 0, total, 50, keep_best=True)
    values = {"example_scores": right} | changes
    return Outcome(spec, {"loss": falling(steps).astype(np.float32)}, tuple(evals), **values)


def other_examples(total, share, swapped=5, count=400):
    """As `scored`, but some of the easiest examples are wrong and as many others right."""
    right = (
        (np.arange(count) >= swapped) & (np.arange(count) < round(share * count) + swapped)
    ).astype(np.float32)
    return scored(total, share, count=count, example_scores=right)


def baseline(share, **changes):
    return scored(800, share, name="baseline", stage="baseline", **changes)


def lengths(stage, outcomes, **known):
    """Steps of the training that is proposed with the recipe's own seed, if one is."""
    specs = stage.propose(Context(TUNED, facts(**known), outcomes))
    return [spec.recipe.total_steps for spec in specs if spec.recipe.seed == TUNED.seed]


def test_a_recipe_that_is_given_is_trained_as_it_is_in_parts():
    trainer = FakeTrainer()
    drive(Train(CHUNK, tuning=()), trainer, TUNED)
    assert [(spec.start, spec.until) for spec in trainer.segments] == [(0, 500), (500, 600)]
    for spec in trainer.segments:
        assert spec.recipe == TUNED and spec.keep_best and spec.trial == "train-600"


def test_what_was_tuned_gets_its_regularizers_back():
    (spec,) = TRAIN.propose(Context(TUNED, facts(), {}))
    assert TUNED.regularizers == "off" and spec.recipe == TUNED.replace(regularizers="on")


def test_a_decay_keeps_its_shape_when_the_steps_are_others():
    staircase = TUNED.replace(decay="exponential", decay_start=300, decay_interval=60)
    ((longer,), (shorter,)) = (
        TRAIN.propose(Context(staircase, facts(), by_name(scored(600, 0.9)))),
        TRAIN.propose(Context(staircase, facts(allowance=300), {})),
    )
    for spec, start, interval in ((longer, 600, 120), (shorter, 150, 30)):
        assert (spec.recipe.decay_start, spec.recipe.decay_interval) == (start, interval)
    (late,) = TRAIN.propose(Context(TUNED.replace(decay_start=400), facts(allowance=300), {}))
    assert (late.recipe.decay_start, late.recipe.decay_interval) == (200, TUNED.decay_interval)


def test_the_reason_tells_how_the_rate_falls():
    recipes = {
        "a constant learning rate of 0.03.": {"decay": "none"},
        "linear decay from 0.03.": {},
        "linear decay from 0.03, beginning at step 200.": {"decay_start": 200},
        "from 0.03, times 0.5 at step 200 and every 100 steps after": {
            "decay": "exponential",
            "decay_start": 200,
        },
    }
    for words, changes in recipes.items():
        outcome = scored(600, 0.9)
        spec = dataclasses.replace(outcome.spec, recipe=outcome.spec.recipe.replace(**changes))
        assert (
            words
            in TRAIN.decide(
                Context(TUNED, facts(), by_name(dataclasses.replace(outcome, spec=spec)))
            ).reason
        )


def test_steps_are_rounded_up_to_whole_evaluations():
    (spec,) = TRAIN.propose(Context(TUNED.replace(total_steps=601), facts(), {}))
    assert spec.recipe.total_steps == 650 and spec.recipe.total_steps % spec.eval_every == 0


def test_a_first_training_is_followed_by_one_of_twice_the_steps():
    outcomes = by_name(scored(600, 0.9))
    (spec,) = TRAIN.propose(Context(TUNED, facts(), outcomes))
    assert spec.recipe.total_steps == 1200 and spec.start == 0
    assert Train(CHUNK, tuning=()).propose(Context(TUNED, facts(), outcomes)) == []


@pytest.mark.parametrize(
    "share, goes_on", [(0.9, True), (0.8025, True), (0.8, False), (0.7, False)]
)
def test_training_is_lengthened_only_while_that_is_expected_to_gain(share, goes_on):
    twice = by_name(scored(600, 0.80), scored(1200, share))
    assert lengths(TRAIN, twice) == ([2400] if goes_on else [])


@pytest.mark.parametrize(
    "left, longer", [(3600, 1200), (3599, 3550), (1300, 1300), (900, 900), (899, None)]
)
def test_a_longer_training_takes_what_the_budget_holds_if_that_is_worth_it(left, longer):
    proposed = lengths(TRAIN, by_name(scored(600, 0.9)), allowance=600 + left)
    assert proposed == ([] if longer is None else [longer])


def fell_back(total, best, last, **changes):
    """A training whose validation accuracy was better in the middle than at its end."""
    middle = {"step": total // 2, "loss": 1 - best, "accuracy": best}
    return scored(
        total, last, evals=(middle, {"step": total, "loss": 1 - last, "accuracy": last}), **changes
    )


def test_a_training_that_overfits_is_followed_by_one_of_half_the_steps():
    error = np.sqrt(0.9 * 0.1 / 400)
    (spec,) = TRAIN.propose(
        Context(TUNED, facts(), by_name(fell_back(600, 0.9, 0.9 - 1.1 * error)))
    )
    assert spec.recipe.total_steps == 300 and spec.start == 0
    (spec,) = TRAIN.propose(
        Context(TUNED, facts(), by_name(fell_back(600, 0.9, 0.9 - 0.9 * error)))
    )
    assert spec.recipe.total_steps == 1200
    shorter = by_name(fell_back(600, 0.9, 0.8), fell_back(300, 0.9, 0.8))
    assert TRAIN.propose(Context(TUNED, facts(), shorter))[0].recipe.total_steps == 150
    assert TRAIN.propose(Context(TUNED, facts(allowance=949), shorter)) == []
    ends_well = by_name(fell_back(600, 0.9, 0.8), scored(300, 0.89))
    assert lengths(TRAIN, ends_well) == []
    decision = TRAIN.decide(Context(TUNED, facts(), ends_well))
    assert (
        decision.values.trial == "train-300"
        and "shortened from 600, which overfits" in decision.reason
    )
    given = Train(CHUNK, tuning=())
    assert given.propose(Context(TUNED, facts(), by_name(fell_back(600, 0.9, 0.5)))) == []


def test_a_recipe_that_no_stage_tuned_is_not_called_tuned():
    trained = by_name(scored(600, 0.9))
    at = by_name(scored(300, 0.9, name="lr-0.03", stage="lr"))
    for stage, outcomes, words in (
        (TRAIN, trained, "recipe as suggested, not tuned"),
        (TRAIN, trained | at, "tuned recipe"),
        (Train(CHUNK, tuning=()), trained | at, "given recipe"),
        (Train(CHUNK, tuning=["model"]), trained | at, "recipe as suggested, not tuned"),
    ):
        headline = stage.decide(Context(TUNED, facts(), outcomes)).headline
        assert headline == f"Final model: the {words}"
    names = {"optimizer": TUNED.optimizer, "learning_rate": TUNED.learning_rate}
    for left_out, words in (
        (None, "network's own recipe"),
        ("learning_rate", "recipe as suggested"),
    ):
        own = {name: value for name, value in names.items() if name != left_out}
        kept = facts(bags=True, starting_recipe=own, starting_steps=600)
        headline = TRAIN.decide(Context(TUNED, kept, trained)).headline
        assert headline.startswith(f"Final model: the {words}")


def learnt_by_heart(total, share, **changes):
    """A training that has all of its own examples right in the end."""
    run = scored(total, share, **changes)
    return dataclasses.replace(
        run, curves={**run.curves, "accuracy": np.ones(run.steps, np.float32)}
    )


REGULARIZES = Train(CHUNK, regularizes=True)


def test_where_a_training_overfits_a_longer_one_has_weight_decay():
    plain = learnt_by_heart(600, 0.9)
    (spec,) = REGULARIZES.propose(Context(TUNED, facts(allowance=10**6), by_name(plain)))
    assert spec.recipe.weight_decay == pytest.approx(0.001 / (1 - TUNED.momentum))
    assert spec.recipe.replace(weight_decay=0.0) == TUNED.replace(
        total_steps=4800, regularizers="on"
    )
    assert TRAIN.propose(Context(TUNED, facts(), by_name(plain)))[0].recipe.weight_decay == 0
    fits = dataclasses.replace(
        plain, curves={**plain.curves, "accuracy": np.full(600, 0.92, np.float32)}
    )
    assert REGULARIZES.propose(Context(TUNED, facts(), by_name(fits)))[0].recipe.weight_decay == 0
    # More steps alone do not pay, but what regularizes has not been tried yet.
    twice = by_name(plain, learnt_by_heart(1200, 0.9))
    assert lengths(TRAIN, twice) == []
    (spec,) = REGULARIZES.propose(Context(TUNED, facts(allowance=1800 + 2100), twice))
    assert spec.recipe.total_steps == 2100 and spec.recipe.weight_decay > 0
    assert lengths(REGULARIZES, twice, allowance=1800 + 1799) == []


def test_shorter_trainings_of_an_earlier_stage_do_not_tell_what_overfits():
    short = learnt_by_heart(300, 0.9, name="recipes-base", stage="recipes")
    known = facts(allowance=10**6)
    (spec,) = REGULARIZES.propose(Context(TUNED, known, by_name(short)))
    assert (spec.recipe.total_steps, spec.recipe.weight_decay) == (600, 0)
    both = by_name(short, learnt_by_heart(600, 0.9))
    (spec,) = REGULARIZES.propose(Context(TUNED, known, both))
    assert spec.recipe.total_steps == 4800 and spec.recipe.weight_decay > 0


def test_one_that_is_a_little_shorter_than_wanted_is_doubled_as_the_one_wanted_would_be():
    nearly = by_name(scored(500, 0.9, name="recipes-base", stage="recipes"))
    assert lengths(TRAIN, nearly, allowance=10**6) == [1000]


def test_no_weight_decay_comes_where_a_model_has_regularizers_of_its_own():
    (spec,) = REGULARIZES.propose(
        Context(TUNED, facts(regularized=True), by_name(learnt_by_heart(600, 0.9)))
    )
    assert spec.recipe.weight_decay == 0


def with_weight_decay(run, weight_decay=0.1):
    recipe = run.spec.recipe.replace(weight_decay=weight_decay)
    return dataclasses.replace(run, spec=dataclasses.replace(run.spec, recipe=recipe))


def test_weight_decay_that_was_tried_before_is_not_tried_again():
    tried = with_weight_decay(
        scored(600, 0.9, name="regularize-weight_decay-0.001", stage="regularize")
    )
    (spec,) = REGULARIZES.propose(
        Context(TUNED, facts(), by_name(learnt_by_heart(600, 0.9), tried))
    )
    assert spec.recipe.weight_decay == 0


def test_a_training_with_weight_decay_is_finished_lengthened_while_it_pays_and_told():
    plain, longer = learnt_by_heart(600, 0.80), with_weight_decay(scored(1200, 0.90))
    begun = dataclasses.replace(
        longer, evals=(), example_scores=None, curves={"loss": falling(300)}
    )
    begun = dataclasses.replace(begun, spec=dataclasses.replace(begun.spec, until=300))
    (spec,) = REGULARIZES.propose(Context(TUNED, facts(), by_name(plain, begun)))
    assert (spec.trial, spec.start, spec.recipe.weight_decay) == ("train-1200", 300, 0.1)
    (spec,) = REGULARIZES.propose(Context(TUNED, facts(), by_name(plain, longer)))
    assert spec.recipe.total_steps == 2400 and spec.recipe.weight_decay == pytest.approx(
        0.001 / (1 - TUNED.momentum)
    )
    worse = by_name(plain, with_weight_decay(scored(1200, 0.70)))
    assert lengths(REGULARIZES, worse) == []
    kept = REGULARIZES.decide(Context(TUNED, facts(), by_name(plain, longer)))
    assert kept.values.trial == "train-1200" and kept.after.weight_decay == 0.1
    assert (
        "linear decay from 0.03 and weight decay 0.1, since a shorter one overfits." in kept.reason
    )
    assert "1200 steps with weight decay 0.1 against 600: +" in kept.reason
    assert "(measured +10, 95 % CI +7.25 to +13)" in kept.reason
    little = with_weight_decay(other_examples(1200, 0.8025))
    won = REGULARIZES.decide(Context(TUNED, facts(), by_name(plain, little)))
    assert won.values.trial == "train-1200" and "(measured +0.25, 95 % CI -" in won.reason
    left = REGULARIZES.decide(Context(TUNED, facts(), worse))
    assert left.values.trial == "train-600" and left.after.weight_decay == 0


def test_what_stage_regularize_saw_to_be_enough_is_not_lengthened():
    kept = scored(600, 0.9, name="regularize-dropout-0.3", stage="regularize")
    for last_loss, expected in ((0.5, [1200]), (2.0, [])):
        curves = {"loss": np.linspace(2.0, last_loss, 600, dtype=np.float32)}
        assert lengths(TRAIN, by_name(dataclasses.replace(kept, curves=curves))) == expected
    spec = dataclasses.replace(kept.spec, trial="regularize-base")
    plain = dataclasses.replace(kept, spec=spec, curves=curves)
    assert lengths(TRAIN, by_name(plain)) == [1200]


def test_a_loss_overfits_when_it_ends_five_percent_above_its_least():
    known = facts(objective=Objective("loss", "min"))
    for last, total in ((0.106, 300), (0.104, 1200)):
        run = fell_back(600, 0.9, 1 - last)
        assert TRAIN.propose(Context(TUNED, known, by_name(run)))[0].recipe.total_steps == total


def test_the_shortest_training_is_one_chunk():
    assert lengths(TRAIN, by_name(fell_back(50, 0.9, 0.5))) == []


def test_validation_examples_without_number_still_leave_room_for_a_training():
    for allowance in (1000, 90):
        (spec,) = TRAIN.propose(
            Context(TUNED, facts(allowance=allowance, num_validation=10**6), {})
        )
        assert spec.recipe.total_steps == spec.eval_every == allowance // CHUNK * CHUNK


def test_a_training_has_at_least_five_hundred_steps_whatever_converged_first():
    for by in ("validation", "training loss"):
        known = [Convergence(step, 3 * step, by, step).total_steps for step in (100, 333, 400)]
        assert known == [500, 500, 600]


@pytest.mark.parametrize(
    "allowance, steps", [(600, 600), (1000, 1000), (1750, 1750), (1800, 600), (9000, 600)]
)
def test_the_only_training_that_fits_takes_all_steps_that_there_are(allowance, steps):
    assert (
        TRAIN.propose(Context(TUNED, facts(allowance=allowance), {}))[0].recipe.total_steps == steps
    )


def test_of_a_longer_and_a_shorter_training_the_one_of_the_higher_expected_score_is_chosen():
    def decided(shorter, longer):
        runs = by_name(scored(600, shorter), other_examples(1200, longer))
        return TRAIN.decide(Context(TUNED, facts(), runs))

    longer = decided(0.80, 0.90)
    assert longer.values.trial == "train-1200" and longer.after.total_steps == 1200
    assert "lengthened from 600" in longer.reason and "(measured +10, 95 % CI" in longer.reason
    # Both are paid for, so that no tie is asked for.
    little = decided(0.90, 0.9025)
    assert little.values.trial == "train-1200" and "(measured +0.25, 95 % CI -" in little.reason
    assert decided(0.90, 0.8975).values.trial == decided(0.90, 0.90).values.trial == "train-600"


def test_of_tuned_recipe_and_baseline_the_one_of_the_higher_expected_score_is_kept():
    def decided(tuned, other):
        return TRAIN.decide(Context(TUNED, facts(), by_name(tuned, other)))

    lower = decided(scored(600, 0.90), baseline(0.9025))
    assert lower.values.trial == "baseline" and lower.headline == "Final model: the baseline"
    assert "Against the baseline: -0.2" in lower.reason
    told = "points of accuracy expected on validation (measured"
    assert f"{told} -0.25, 95 % CI -0.75 to +0)" in lower.reason
    assert lower.after == baseline(0.9).spec.recipe
    higher = decided(scored(600, 0.9025), baseline(0.90))
    assert higher.values.trial == "train-600" and not higher.values.gain.is_significant
    assert f"{told} +0.25, 95 % CI" in higher.reason
    assert decided(scored(600, 0.9), baseline(0.90)).values.trial == "baseline"  # a tie
    assert decided(scored(600, 0.80), baseline(0.90)).values.trial == "baseline"
    assert decided(scored(600, 0.90), baseline(0.80)).values.trial == "train-600"


# Other seeds, in steps that nothing else needs


def with_seed(outcome, seed, **changes):
    """The same training with another seed."""
    recipe = outcome.spec.recipe.replace(seed=seed)
    name = f"{outcome.spec.trial}-seed{seed}"
    spec = dataclasses.replace(outcome.spec, trial=name, stage="train", recipe=recipe)
    return dataclasses.replace(outcome, spec=spec, **changes)


ENOUGH = scored(600, 0.90), scored(1200, 0.90)  # twice the steps gain nothing


@pytest.mark.parametrize("left, is_trained", [(599, False), (600, True)])
def test_what_no_other_length_needs_is_another_seed_s(left, is_trained):
    known = facts(allowance=1800 + left)
    specs = TRAIN.propose(Context(TUNED, known, by_name(*ENOUGH)))
    assert [spec.trial for spec in specs] == ["train-600-seed2"] * is_trained
    for spec in specs:
        assert spec.recipe == ENOUGH[0].spec.recipe.replace(seed=2)
        assert (spec.start, spec.until, spec.keep_best) == (0, 500, True)
    # What was found at a length that is still tried waits for the other one.
    (longer,) = TRAIN.propose(Context(TUNED, known, by_name(ENOUGH[0])))
    assert longer.recipe.seed == TUNED.seed


def test_other_seeds_are_finished_and_are_four_at_most():
    seeds = [with_seed(ENOUGH[0], seed) for seed in range(2, 7)]
    for count in range(4):
        (spec,) = TRAIN.propose(Context(TUNED, facts(), by_name(*ENOUGH, *seeds[:count])))
        assert spec.trial == f"train-600-seed{count + 2}"
    assert TRAIN.propose(Context(TUNED, facts(), by_name(*ENOUGH, *seeds[:4]))) == []
    begun = dataclasses.replace(seeds[0].spec, until=300)
    half = dataclasses.replace(seeds[0], spec=begun, curves={"loss": falling(300)})
    known = facts(allowance=1800 + 300)  # an estimate: what was begun is finished
    (spec,) = TRAIN.propose(Context(TUNED, known, by_name(*ENOUGH, half)))
    assert (spec.trial, spec.start, spec.until) == ("train-600-seed2", 300, 600)


@pytest.mark.parametrize(
    "stage", [Train(CHUNK, tuning=()), Train(CHUNK, leaves=0.5)], ids=["given", "is followed"]
)
def test_no_other_seed_is_trained_of_a_given_recipe_or_where_more_models_follow(stage):
    assert stage.propose(Context(TUNED, facts(), by_name(*ENOUGH))) == []


def test_of_several_seeds_the_best_on_validation_is_kept_and_cuts_no_other_data():
    seeds = [with_seed(scored(600, share), seed) for share, seed in ((0.92, 3), (0.88, 2))]
    lost = with_seed(scored(600, 0.99), 4, diverged_at=50)
    cut = with_seed(scored(600, 0.99, steps=250), 5, out_of_time=True)
    outcomes = by_name(*ENOUGH, *seeds, lost, cut, baseline(0.91))
    decision = TRAIN.decide(Context(TUNED, facts(), outcomes))
    assert decision.values.trial == "train-600-seed3"
    assert decision.after.seed == TUNED.seed and decision.after.total_steps == 600
    assert "Of 3 seeds, 3 is best on validation" in decision.reason
    assert "Against the baseline: +" in decision.reason and "(measured +1," in decision.reason
    assert set(decision.evidence) == set(outcomes)
    first = TRAIN.decide(Context(TUNED, facts(), by_name(*ENOUGH, seeds[1])))
    assert first.values.trial == "train-600" and "Of 2 seeds, 1 is best" in first.reason


def test_the_numbers_of_the_reason_are_points_or_errors():
    for measure in ("accuracy", "explained variance"):
        decision = TRAIN.decide(
            Context(TUNED, facts(scored_by=measure), by_name(scored(600, 0.90), baseline(0.80)))
        )
        assert f"points of {measure} expected on validation (measured +10, 95 %" in decision.reason
    lower = TRAIN.decide(
        Context(TUNED, facts(scored_by="loss"), by_name(scored(600, 0.90), baseline(0.80)))
    )
    assert " of loss expected on validation (measured -0.1, 95 % CI -0.13 to " in lower.reason


def test_a_training_that_diverged_leaves_the_baseline():
    lost = scored(600, 0.9, steps=250, diverged_at=230, example_scores=None)
    alone = TRAIN.decide(Context(TUNED, facts(), by_name(lost)))
    assert alone.values.trial is None and "train-600 diverged at step 230" in alone.reason
    assert alone.after == TUNED
    beside = TRAIN.decide(Context(TUNED, facts(), by_name(lost, baseline(0.5))))
    assert beside.values.trial == "baseline"


def test_a_training_that_diverged_is_trained_again_at_a_third_and_a_ninth_of_its_learning_rate():
    def lost(name, **changes):
        run = scored(600, 0.9, name, steps=250, diverged_at=230, example_scores=None)
        spec = dataclasses.replace(run.spec, recipe=run.spec.recipe.replace(**changes))
        return dataclasses.replace(run, spec=spec)

    runs, names = [lost("train-600")], ("train-600-rate0.01", "train-600-rate0.0033")
    for name, rate in zip(names, (0.01, 0.0033)):
        (spec,) = TRAIN.propose(Context(TUNED, facts(), by_name(*runs)))
        assert (spec.trial, spec.recipe.learning_rate, spec.start) == (name, rate, 0)
        assert spec.recipe.replace(learning_rate=0.03) == runs[0].spec.recipe
        runs.append(lost(name, learning_rate=rate))
    # Without any model, the baseline is trained at last, once.
    (last,) = TRAIN.propose(Context(TUNED, facts(), by_name(*runs)))
    assert last.trial == "baseline" and last.keep_best and last.recipe.optimizer == "adam"
    for missing in (baseline(0.5), Outcome.failed(last, ValueError("none"))):
        assert TRAIN.propose(Context(TUNED, facts(), by_name(*runs, missing))) == []
    own = dataclasses.replace(baseline(0.5), spec=last)
    assert TRAIN.propose(Context(TUNED, facts(), by_name(*runs, own))) == []
    assert TRAIN.decide(Context(TUNED, facts(), by_name(*runs, own))).values.trial == "baseline"
    given = Train(CHUNK, tuning=())
    assert given.propose(Context(TUNED, facts(), by_name(runs[0]))) == []
    # What is left may hold a shorter one only.
    known = facts(allowance=250 + 149)
    assert TRAIN.propose(Context(TUNED, known, by_name(runs[0])))[0].recipe.total_steps == 100
    (last,) = TRAIN.propose(Context(TUNED, facts(allowance=250 + 49), by_name(runs[0])))
    assert (last.trial, last.until) == ("baseline", CHUNK)
    sound = scored(600, 0.9, names[0])
    recipe = sound.spec.recipe.replace(learning_rate=0.01)
    sound = dataclasses.replace(sound, spec=dataclasses.replace(sound.spec, recipe=recipe))
    decision = TRAIN.decide(Context(TUNED, facts(), by_name(runs[0], sound)))
    assert decision.values.trial == names[0] and decision.after.learning_rate == 0.01
    assert "with linear decay from 0.01, since 0.03 diverged" in decision.reason


def test_a_training_that_ended_early_says_where():
    stopped = TRAIN.decide(Context(TUNED, facts(), by_name(scored(600, 0.9, steps=250))))
    assert stopped.values.trial == "train-600" and "stopped at step 250" in stopped.reason
    lost = TRAIN.decide(
        Context(TUNED, facts(), by_name(scored(600, 0.9, steps=250, diverged_at=230)))
    )
    assert "diverged at step 230" in lost.reason


def test_a_training_that_was_stopped_neither_goes_on_nor_is_lengthened():
    stopped = by_name(scored(600, 0.9, steps=250))
    assert TRAIN.propose(Context(TUNED, facts(), stopped)) == []


@pytest.mark.parametrize("allowance", [0, 49, 50, 130, 599, 600, 1799, 1800, 5000])
def test_training_stays_within_its_allowance(allowance):
    known = facts(allowance=allowance, num_validation=9)
    outcomes, decision = drive(TRAIN, FakeTrainer(num_validation=9), TUNED, known)
    assert spent(outcomes, "train") <= allowance
    if allowance < CHUNK:
        assert (
            outcomes == {}
            and decision.after == TUNED
            and f"{allowance} steps were left" in decision.reason
        )
    elif allowance < 600:
        assert decision.after.total_steps == allowance // CHUNK * CHUNK
        assert "the budget held no more; 600 were wanted" in decision.reason
    else:
        assert ("train-600" if allowance != 1799 else "train-1750") in outcomes


def test_the_whole_record_may_be_there_already():
    outcomes, decision = drive(TRAIN, recipe=TUNED, outcomes=by_name(baseline(0.5)))
    assert TRAIN.decide(Context(TUNED, facts(), shuffled(outcomes))) == decision
    assert set(decision.evidence) == {name for name in outcomes}


# training after the decay stage


def decayed(total, share, decay="linear", name="decay-linear"):
    """A training of stage `decay`, with the regularizers as they were: off."""
    made = scored(total, share, name=name, stage="decay")
    spec = dataclasses.replace(
        made.spec, recipe=made.spec.recipe.replace(decay=decay, regularizers="off")
    )
    return dataclasses.replace(made, spec=spec)


def test_what_the_decay_stage_trained_is_not_trained_again():
    trained = by_name(decayed(600, 0.9), decayed(600, 0.8, "none", "decay-none"))
    (spec,) = TRAIN.propose(Context(TUNED, facts(), trained))
    assert (spec.trial, spec.recipe.total_steps) == ("train-1200", 1200)
    decision = TRAIN.decide(Context(TUNED, facts(), trained))
    assert decision.values.trial == "decay-linear" and decision.after.total_steps == 600
    other_rate = TUNED.replace(learning_rate=0.1)
    assert TRAIN.propose(Context(other_rate, facts(), trained))[0].trial == "train-600"


def test_regularizers_that_come_back_make_another_training():
    (spec,) = TRAIN.propose(Context(TUNED, facts(regularized=True), by_name(decayed(600, 0.9))))
    assert spec.trial == "train-600" and spec.recipe.regularizers == "on"


def test_the_stages_come_in_the_order_of_the_playbook_and_steps_are_stretched_once():
    assert [stage.name for stage in registry.make(registry.names()[:-2], Setup(CHUNK))] == list(
        registry.names()[:-2]
    )
    for names, stretched in (
        (["lr", "train"], 2),
        (["lr", "decay", "train"], 1),
        (["decay", "train"], 1),
    ):
        (spec,) = registry.make(names, Setup(CHUNK))[-1].propose(Context(TUNED, facts(), {}))
        assert spec.recipe.total_steps == stretched * TUNED.total_steps
    for names, message in (
        (["lr", "warmup"], "must be among"),
        (["train", "lr"], "order"),
        (["lr", "lr"], "order"),
    ):
        with pytest.raises(ValueError, match=message):
            registry.check(names)
