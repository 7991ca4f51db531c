"""Stage 2 as pure functions: batch size, momentum and optimizer on made-up outcomes."""

import dataclasses
import json

import numpy as np
import pytest
from fake_trainer import ACCURACY, CHUNK, FIRST_LOSS, FakeTrainer, facts
from test_stages import drive, shuffled

from kerastune.analysis import curves
from kerastune.objective import Objective
from kerastune.playbook.context import Context, spent
from kerastune.playbook.rules import batch_grid, ranking
from kerastune.playbook.rules.convergence import convergence
from kerastune.playbook.rules.expected_gain import seed_std
from kerastune.playbook.rules.ranking import Standing, choose, standings
from kerastune.playbook.stages import registry
from kerastune.playbook.stages.batch import Batch, transferred_rate, with_steps
from kerastune.recipe import Recipe
from kerastune.trial import Outcome, TrialSpec

STAGE = Batch(CHUNK)
RECIPE = Recipe(learning_rate=0.03, total_steps=1200)
SLOW = {0.8: 0.2, 0.95: 0.2, "adam": 0.2}  # all but the momentum of the recipe
BEST_RATE = {"sgd": 0.03, "adam": 0.3}  # Adam's is what the probe makes of FakeTrainer's norms


@dataclasses.dataclass
class Examples(FakeTrainer):
    """Losses fall with the examples seen, at the transferred rates alike.

    Args:
        slow: batch size, momentum or optimizer to the share of the speed that such settings have.
        bonus: as `slow`, what such settings gain on validation.
        seconds: as `slow`, times the seconds of an example.
        best_rates: by optimizer, at batches of 64 and momentum 0.9.
    """

    slow: dict = dataclasses.field(default_factory=dict)
    bonus: dict = dataclasses.field(default_factory=dict)
    seconds: dict = dataclasses.field(default_factory=dict)
    best_rates: dict = dataclasses.field(default_factory=lambda: dict(BEST_RATE))
    noise: float = 0.01

    def run(self, spec, state):
        outcome, last, best = super().run(spec, state)
        pace = 1e-5 * spec.recipe.batch_size * self._of(self.seconds, spec.recipe, 1.0)
        return dataclasses.replace(outcome, seconds_per_step=pace), last, best

    def losses(self, recipe, steps):
        best = Recipe(optimizer=recipe.optimizer, learning_rate=self.best_rates[recipe.optimizer])
        relative = recipe.learning_rate / transferred_rate(best, recipe.batch_size, recipe.momentum)
        speed = min(relative, 1 / relative) * self._of(self.slow, recipe, 1.0)
        step = np.arange(steps)
        clean = self.floor + (FIRST_LOSS - self.floor) * np.exp(
            -step * recipe.batch_size / 64 * speed / self.tau
        )
        generator = np.random.default_rng(
            [recipe.seed, recipe.batch_size, int(recipe.learning_rate * 1e6)]
        )
        losses = (clean * (1 + self.noise * generator.normal(size=steps))).astype(np.float32)
        if relative <= self.diverges_above:
            return losses, None
        losses[20:] = np.nan
        return losses, 20 if steps > 20 else None

    @staticmethod
    def _relative(recipe):
        return 1.0

    def _evaluation(self, recipe, step, losses, weights):
        fitted = float(losses[max(0, step - 10) : step].mean())
        accuracy = 0.8 - 0.2 * fitted + self._of(self.bonus, recipe, 0.0)
        return {"step": step, "loss": fitted, "accuracy": accuracy}

    def _of(self, changes, recipe, default):
        found = [
            changes[key]
            for key in (recipe.batch_size, recipe.momentum, recipe.optimizer)
            if key in changes
        ]
        return found[0] if found else default


def evidence(recipe=RECIPE, steps=1600, every=100, trainer=Examples(), **changes):
    """What stage `lr` left of a recipe."""
    spec = TrialSpec(
        "lr-0.03", "lr", recipe.replace(decay="none", total_steps=steps), 0, steps, every
    )
    return {"lr-0.03": dataclasses.replace(trainer.run(spec, None)[0], **changes)}


def run(trainer=None, recipe=RECIPE, outcomes=None, look=lambda *a: None, **known):
    """Outcomes of the stage, its decision, and the segments that were trained."""
    trainer = trainer or Examples()
    before = (
        evidence(trainer=dataclasses.replace(trainer, segments=[]))
        if outcomes is None
        else outcomes
    )
    outcomes, decision = drive(STAGE, trainer, recipe, facts(**known), before, look)
    return outcomes, decision, trainer.segments


def trained(segments):
    return {spec.trial for spec in segments if "probe" not in spec.trial}


# rates and settings


def test_sgds_rate_keeps_the_noise_of_the_updates():
    assert transferred_rate(RECIPE, 128, 0.9) == 0.06
    assert transferred_rate(RECIPE, 64, 0.95) == 0.015
    assert transferred_rate(RECIPE, 128, 0.95) == 0.03
    assert transferred_rate(RECIPE, 32, 0.8) == 0.03
    assert transferred_rate(RECIPE.replace(momentum=0.0), 64, 0.9) == 0.003


def test_adams_rate_grows_with_the_root_of_the_batch_whatever_the_momentum():
    adam = Recipe(optimizer="adam", learning_rate=0.001)
    assert transferred_rate(adam, 256, 0.5) == 0.002
    assert transferred_rate(adam, 128, 0.9) == 0.0014


@pytest.mark.parametrize(
    "num_train, sizes", [(0, [32, 64, 128, 256]), (2048, [32, 64, 128, 256]), (2047, [32, 64, 128])]
)
def test_an_epoch_keeps_eight_steps(num_train, sizes):
    assert batch_grid.batch_sizes(RECIPE, facts(num_train=num_train)) == sizes
    assert batch_grid.batch_sizes(RECIPE.replace(batch_size=1), facts(num_train=5)) == [1]


def test_the_grid_is_batch_sizes_times_momenta_and_without_nesterov():
    found = {
        batch_grid.setting_name(setting): setting for setting in batch_grid.grid(RECIPE, facts())
    }
    assert len(found) == 12 and batch_grid.setting_name(RECIPE) not in found
    assert found["64-0.9"] == RECIPE.replace(nesterov=False)
    assert found["128-0.95-nesterov"].learning_rate == 0.03
    assert {setting.optimizer for setting in found.values()} == {"sgd"}


def test_adam_has_no_momentum_to_be_tuned():
    found = batch_grid.grid(Recipe(optimizer="adam"), facts())
    assert [setting.batch_size for setting in found] == [32, 128, 256]


def test_the_whole_grid_is_tried_where_the_allowance_holds_it():
    outcomes, decision, segments = run()
    grid = {
        f"batch-{batch_grid.setting_name(setting)}" for setting in batch_grid.grid(RECIPE, facts())
    }
    assert trained(segments) >= grid | {"batch-64-adam"} and len(decision.values.settings) == 14


def test_a_random_subset_is_the_same_for_the_same_seed_and_begins_with_the_other_optimizer():
    subsets = [
        trained(run(recipe=RECIPE.replace(seed=s), outcomes={}, allowance=3000)[2])
        for s in (1, 1, 2, 3)
    ]
    assert subsets[0] == subsets[1] and len({frozenset(subset) for subset in subsets}) > 1
    for subset in subsets:
        assert 2 < len(subset) < 14 and {"batch-64-0.9-nesterov", "batch-64-adam"} <= subset


def test_trials_have_a_constant_rate_and_the_rest_of_the_recipe():
    recipe = RECIPE.replace(hyperparameters={"units": 3}, regularizers="on", decay_interval=7)
    for spec in run(recipe=recipe, outcomes=evidence(recipe))[2]:
        used = spec.recipe
        assert used.decay == "none" and used.total_steps == spec.until and spec.stage == "batch"
        assert (used.hyperparameters, used.regularizers, used.decay_interval) == (
            {"units": 3},
            "on",
            7,
        )


# the other optimizer


def test_adam_starts_at_what_the_probe_suggests():
    outcomes, decision, segments = run()
    assert segments[0].trial == "batch-probe-1" and segments[0].until == 1
    assert outcomes["batch-64-adam"].spec.recipe.learning_rate == pytest.approx(0.3, rel=0.05)
    other = decision.values.other_optimizer
    assert other.optimizer == "adam" and other.examples >= 300 * 64
    assert (
        f"Adam at the probe's learning rate of {other.learning_rate:g}: smoothed loss"
        in decision.reason
    )
    assert "; SGD: smoothed loss" in decision.reason


def test_no_other_optimizer_is_tried_where_the_network_s_authors_name_one():
    known = {"starting_recipe": {"optimizer": "sgd"}}
    _, decision, segments = run(**known)
    assert not [spec for spec in segments if spec.recipe.optimizer != "sgd"] and len(segments) > 9
    assert decision.values.other_optimizer is None and "Adam was not tried" in decision.reason


def test_sgd_is_the_other_one_for_adam_and_takes_eight_starts():
    recipe = Recipe(optimizer="adam", learning_rate=0.3, total_steps=1200)
    outcomes, decision, segments = run(Examples(best_rates={"sgd": 0.8, "adam": 0.3}), recipe, {})
    starts = [spec for spec in segments if "probe" in spec.trial]
    assert len(starts) == 8 and {spec.recipe.optimizer for spec in starts} == {"sgd"}
    assert trained(segments) >= {
        "batch-64-adam",
        "batch-32-adam",
        "batch-256-adam",
        "batch-64-0.9-nesterov",
    }
    assert decision.values.other_optimizer.optimizer == "sgd"


def test_an_optimizer_for_which_the_probe_finds_no_rate_is_left_out():
    class Silent(Examples):
        def run(self, spec, state):
            outcome, *states = super().run(spec, state)
            silent = np.zeros_like(outcome.update_norms)
            curves = dataclasses.replace(outcome.curves, update_norms=silent)
            return dataclasses.replace(outcome, curves=curves), *states

    outcomes, decision, _ = run(Silent())
    assert "batch-64-adam" not in outcomes and "Adam was not tried" in decision.reason


# equal examples


def test_settings_are_compared_after_the_same_examples_and_twice_as_many_each_time():
    _, _, segments = run()
    for first in (
        spec for spec in segments if spec.start == 0 and spec.until > 1 and "-x" not in spec.trial
    ):
        assert (
            300 * 64
            <= first.until * first.recipe.batch_size
            < 300 * 64 + CHUNK * first.recipe.batch_size
        )
    ends = {
        spec.until * spec.recipe.batch_size
        for spec in segments
        if spec.recipe.batch_size < 128 and spec.until > 1
    }
    assert ends == {300 * 64, 600 * 64, 800 * 64}


def test_all_segments_are_whole_chunks_and_go_on_from_where_they_stood():
    for known in ({}, {"num_validation": 6000}, {"num_train": 54_000, "num_validation": 100_000}):
        _, _, segments = run(**known)
        stood = {}
        for spec in (spec for spec in segments if spec.until > 1):
            assert spec.until % CHUNK == 0 and spec.start == stood.get(spec.trial, 0)
            assert spec.eval_every > 0 and spec.until % spec.eval_every == 0
            stood[spec.trial] = spec.until


def test_at_most_four_and_then_two_go_on():
    for before in (evidence(), {}):
        _, _, segments = run(outcomes=before)
        by_rung = {}
        for spec in (spec for spec in segments if spec.start and "-x" not in spec.trial):
            by_rung.setdefault(round(spec.start * spec.recipe.batch_size / 64 / 300), set()).add(
                spec.trial
            )
        assert len(by_rung[1]) <= 4 and len(by_rung[2]) <= 2
        assert ("batch-64-0.9-nesterov" in by_rung[2]) == (not before)


def test_what_the_first_stage_trained_is_not_trained_again():
    _, decision, segments = run()
    assert "batch-64-0.9-nesterov" not in trained(segments) and "lr-0.03" in decision.evidence
    for other in (evidence(RECIPE.replace(seed=9)), evidence(steps=200), evidence(diverged_at=3)):
        _, decision, segments = run(outcomes=other)
        assert "batch-64-0.9-nesterov" in trained(segments) and "lr-0.03" not in decision.evidence


def test_nobody_goes_further_than_the_evidence():
    _, _, segments = run(outcomes=evidence(steps=400))
    assert max(s.until * s.recipe.batch_size for s in segments) < 400 * 64 + CHUNK * 256


def test_smoothing_counts_examples_so_that_no_batch_size_lags_behind():
    trainer, outcomes = Examples(noise=0.0), {}
    for size in (32, 64, 256):
        recipe = RECIPE.replace(
            batch_size=size, learning_rate=transferred_rate(RECIPE, size, 0.9), decay="none"
        )
        spec = TrialSpec(str(size), "batch", recipe, 0, 51_200 // size, CHUNK)
        outcomes[str(size)] = trainer.run(spec, None)[0]
    found, common = standings(outcomes, 25_600, 64, ACCURACY)
    assert common == 25_600
    assert found["32"].loss == pytest.approx(found["64"].loss, rel=0.02)
    assert found["256"].loss == pytest.approx(found["64"].loss, rel=0.02)
    assert found["256"].value == pytest.approx(found["64"].value, abs=0.01)
    assert found["64"].seconds == pytest.approx(found["256"].seconds)


def test_curves_are_cut_to_the_examples_that_all_have_seen():
    outcomes = evidence(steps=400) | {"longer": evidence()["lr-0.03"]}
    found, common = standings(outcomes, 10**6, 64, ACCURACY)
    assert common == 400 * 64 and found["lr-0.03"] == found["longer"]


# who wins


def chosen(known=None, **others):
    """The choice between an incumbent (loss 0.5, 80 %, 10 s) and one other."""
    standing = Standing(2.5, 0.5, 0.80, 0.001, 10.0)
    both = {"old": standing, "new": dataclasses.replace(standing, **others)}
    return choose(both, "old", known or facts(num_validation=1000))


def test_where_losses_are_alike_validation_decides():
    assert chosen(loss=0.51, value=0.85) == ("new", "validation")
    assert chosen(loss=0.51, value=0.75, seconds=1.0) == ("old", "noise")


def test_where_validation_is_alike_too_at_least_a_tenth_fewer_seconds_decide():
    for value in (0.8005, 0.7995):  # half a tenth of a point is a tie
        assert chosen(loss=0.51, value=value, seconds=9.0) == ("new", "seconds")
        assert chosen(loss=0.51, value=value, seconds=9.1) == ("old", "noise")
        # Nothing was timed.
        assert chosen(loss=0.51, value=value, seconds=0.0) == ("old", "noise")
        # A budget in steps decides the same on any machine.
        by_steps = facts(num_validation=1000, timed=False)
        assert chosen(by_steps, loss=0.51, value=value, seconds=1.0) == ("old", "noise")
    assert chosen(loss=0.51, value=0.79, seconds=1.0) == ("old", "noise")


def test_a_lower_loss_decides_between_those_that_are_tied_on_validation_only():
    assert chosen(loss=0.2, value=0.80, seconds=20.0) == ("new", "loss")
    assert chosen(loss=0.2, value=0.79, seconds=5.0) == ("old", "noise")
    assert chosen(loss=0.2, value=None, seconds=5.0) == ("old", "noise")
    assert chosen(loss=0.2, value=0.85) == ("new", "validation")
    trio = {"old": Standing(2.5, 0.5, 0.8), "new": Standing(2.5, 0.2, 0.8)}
    trio["third"] = Standing(2.5, 0.1, 0.7)  # that another one lost says nothing of these two
    assert choose(trio, "old", facts(num_validation=1000)) == ("new", "loss")


def test_a_higher_expected_accuracy_wins_however_uncertain_and_more_so_with_more_examples():
    assert chosen(value=0.81) == ("new", "validation")  # 0.6 standard errors
    gains = [
        ranking.advantage(
            Standing(2.5, 0.5, 0.85), Standing(2.5, 0.5, 0.80), facts(num_validation=count)
        )
        for count in (100, 1000, 10**6)
    ]
    seeds = seed_std("table", facts().num_train)
    errors = [2 * 0.825 * 0.175 / count + 2 * seeds**2 for count in (100, 1000, 10**6)]
    expected = [0.05 * 0.03**2 / (0.03**2 + error) for error in errors]
    assert [gain.mean for gain in gains] == pytest.approx(expected, rel=1e-6)
    assert gains[0].mean < gains[1].mean < gains[2].mean < 0.05


def test_noise_of_another_objective_is_the_scatter_of_its_evaluations():
    known = facts(objective=Objective("loss", "min"))
    assert chosen(known, value=0.79) == ("new", "validation")
    assert chosen(known, value=0.79, scatter=0.1) == ("old", "noise")
    assert chosen(known, value=0.79, scatter=float("inf")) == ("old", "noise")
    assert chosen(known, value=0.85, seconds=1.0) == ("old", "noise")
    values = 0.5 + 0.001 * np.arange(200) + np.random.default_rng(1).normal(size=200) * 0.1
    assert ranking._scatter(list(values)) == pytest.approx(0.1, rel=0.2)


def test_of_several_that_are_better_the_quickest_of_those_tied_with_the_best():
    def standing(value, seconds):
        return Standing(2.5, 0.5, value, 0.001, seconds)

    def won(value, seconds=5.0):
        trio = {"old": standing(0.8, 1.0), "best": standing(0.9, 10.0)}
        return choose(trio | {"quick": standing(value, seconds)}, "old", facts(num_validation=1000))

    assert won(0.8995) == ("quick", "seconds")
    assert won(0.8995, seconds=9.5) == won(0.89) == won(0.81, 0.5) == ("best", "validation")


def test_a_setting_counts_with_the_best_evaluation_on_its_way():
    evals = tuple(
        {"step": step, "loss": loss}
        for step, loss in ((50, 0.5), (100, 0.4), (150, 0.6), (200, 0.9))
    )
    spec = TrialSpec("batch-64", "batch", Recipe(total_steps=200), 0, 200, 50)
    trial = Outcome(spec, {"loss": np.linspace(1, 0.1, 200)}, evals)
    objective = Objective("loss", "min")
    values = [
        ranking.standing(trial, 64 * steps, 10.0, objective).value for steps in (50, 75, 125, 200)
    ]
    np.testing.assert_allclose(values, [0.5, 0.45, 0.4, 0.4])


def test_without_its_incumbent_the_best_on_validation_is_chosen():
    pair = {"a": Standing(2.5, 0.5, 0.8), "b": Standing(2.5, 0.6, 0.81)}
    assert choose(pair, "old", facts()) == ("b", "alone")


def test_the_better_on_validation_wins_with_its_numbers():
    _, decision, _ = run(Examples(bonus={128: 0.1}))
    assert decision.values.decided_by == "validation" and decision.after.batch_size == 128
    assert (
        "it has the highest expected value on validation" in decision.reason
        and "Of 14 settings" in decision.reason
    )
    finalist = decision.values.finalists[decision.values.winner]
    assert f"{finalist.loss:.3g}" in decision.reason and f"{finalist.value:.4g}" in decision.reason
    assert str(decision.values.examples) in decision.reason


def test_the_quicker_wins_where_all_else_is_alike():
    _, decision, _ = run(
        Examples(seconds={32: 0.5}, slow={128: 0.3, 256: 0.3, 0.8: 0.3, 0.95: 0.3})
    )
    assert decision.values.decided_by == "seconds" and decision.after.batch_size == 32
    assert "0.5 times the seconds" in decision.reason


def test_where_none_is_expected_to_be_better_the_setting_stays():
    _, decision, segments = run()
    assert decision.after == RECIPE and decision.values.decided_by == "noise"
    assert "none is expected to be better on validation, or tied and" in decision.reason
    assert not [spec for spec in segments if "-x" in spec.trial]


def test_others_that_do_not_keep_up_leave_the_setting():
    slow = {32: 0.1, 128: 0.1, 256: 0.1, 0.8: 0.1, 0.95: 0.1, "adam": 0.1}
    _, decision, _ = run(
        Examples(slow=slow), recipe=RECIPE.replace(momentum=0.5, learning_rate=0.15), outcomes={}
    )
    assert decision.after.batch_size == 64 and decision.after.momentum == 0.5


# divergence and callbacks


def test_diverging_settings_neither_go_on_nor_win():
    # SGD's best rate is a ninth of the recipe's: every setting of the grid diverges with the
    # incumbent.
    outcomes, decision, segments = run(
        Examples(best_rates={"sgd": 0.03 / 9, "adam": 0.3}), outcomes={}
    )
    lost = decision.values.diverged
    assert len(lost) == 13 and all(
        sum(spec.trial == name for spec in segments) == 1 for name in lost
    )
    assert decision.after.optimizer == "adam" and decision.values.decided_by == "alone"
    assert "13 of which diverged" in decision.reason


def test_an_explosion_counts_though_every_loss_is_finite():
    class Exploding(Examples):
        def run(self, spec, state):
            outcome, *states = super().run(spec, state)
            lost = 5 if spec.recipe.batch_size == 128 else None
            return dataclasses.replace(outcome, diverged_at=lost), *states

    short = RECIPE.replace(total_steps=300)
    for recipe in (RECIPE, short):
        trainer = Exploding(bonus={128: 0.15}, slow={32: 0.2, 256: 0.2, **SLOW})
        _, decision, segments = run(trainer, recipe, evidence(recipe))
        assert len(decision.values.diverged) == 3 and decision.after == recipe
        assert not [spec for spec in segments if spec.recipe.batch_size == 128 and spec.start]


def test_when_everything_diverges_the_recipe_stays():
    _, decision, _ = run(Examples(best_rates={"sgd": 1e-3, "adam": 1e-3}), outcomes={})
    assert decision.after == RECIPE and decision.values.winner is None
    assert (
        "14 of which diverged" in decision.reason
        and "Adam at the probe's learning rate of 0.31 diverged" in decision.reason
    )


def test_callbacks_that_stop_every_trial_still_end_in_a_decision():
    class Impatient(Examples):
        def _end(self, spec, diverged_at):
            return min(spec.start + CHUNK, spec.until)

    for before in (evidence(), {}):
        outcomes, decision, segments = run(Impatient(), outcomes=before)
        assert len({spec.trial for spec in segments}) == len(segments) and decision.reason


# the winner's rate and steps


@pytest.mark.parametrize("best, factor", [(0.03, 1.0), (0.06, 2.0), (0.015, 0.5)])
def test_the_winners_rate_is_checked_against_its_neighbors(best, factor):
    trainer = Examples(bonus={128: 0.15}, best_rates={"sgd": best, "adam": 0.3}, slow=SLOW)
    _, decision, segments = run(trainer)
    assert decision.after.batch_size == 128 and decision.values.rate_checked
    assert decision.after.learning_rate == pytest.approx(0.06 * factor)
    winner = decision.values.winner
    ends = {spec.until for spec in segments if spec.trial.startswith(winner)}
    assert {f"{winner}-x0.5", f"{winner}-x2"} <= trained(segments)
    assert f"{winner}-x2" in decision.evidence
    assert max(ends) == max(s.until for s in segments if s.trial == f"{winner}-x2")


def test_a_neighbor_that_diverges_is_not_chosen():
    trainer = Examples(
        bonus={128: 0.15}, best_rates={"sgd": 0.02, "adam": 0.3}, diverges_above=1.9, slow=SLOW
    )
    outcomes, decision, _ = run(trainer)
    assert outcomes[f"{decision.values.winner}-x2"].diverged_at is not None
    assert (
        decision.values.rate_checked
        and decision.after.learning_rate <= decision.values.transferred_rate
    )


def finished(losses, batch_size=128):
    recipe = RECIPE.replace(
        batch_size=batch_size, learning_rate=0.06, decay="none", total_steps=len(losses)
    )
    return Outcome(
        TrialSpec("batch-128", "batch", recipe, 0, len(losses)), {"loss": losses.astype(np.float32)}
    )


def test_steps_are_read_off_the_winners_curve_where_that_is_certain():
    sooner = finished(0.1 + 2 * np.exp(-np.arange(1000) / 60))
    after = with_steps(RECIPE, sooner, facts(), CHUNK)
    assert convergence(sooner, facts()).is_certain
    assert after.total_steps == convergence(sooner, facts()).total_steps < 600
    assert after.decay == RECIPE.decay and after.batch_size == 128


@pytest.mark.parametrize("batch_size, steps", [(128, 600), (32, 2400), (100, 800), (96, 800)])
def test_else_as_many_examples_are_seen_as_before(batch_size, steps):
    after = with_steps(RECIPE, finished(np.linspace(2, 1, 400), batch_size), facts(), CHUNK)
    assert after.total_steps == steps


def test_the_reason_gives_rate_and_steps_before_and_after():
    _, decision, _ = run(Examples(bonus={128: 0.15}, tau=600, slow=SLOW))
    after = decision.after
    assert f"Learning rate {after.learning_rate:g}, before 0.03" in decision.reason
    assert f"{after.total_steps} steps, before 1200 (as many examples)" in decision.reason
    assert after.total_steps == 600


# what it costs, and purity


@pytest.mark.parametrize("total_steps", [50, 500, 1200])
@pytest.mark.parametrize("allowance", [0, 1, 299, 301, 400, 602, 1000, 2250, 3333, 5000, 8000])
def test_the_allowance_is_never_overrun(allowance, total_steps):
    recipe = RECIPE.replace(total_steps=total_steps)
    for before in ({}, evidence(recipe)):
        outcomes, decision, _ = run(
            Examples(bonus={32: 0.1, 256: 0.1}), recipe, before, allowance=allowance
        )
        assert spent(outcomes, "batch") == decision.values.steps_spent <= allowance


@pytest.mark.parametrize("allowance", [0, 199])
def test_too_little_for_any_comparison_keeps_the_recipe_and_says_so(allowance):
    for before in ({}, evidence()):
        outcomes, decision, segments = run(outcomes=before, allowance=allowance)
        assert segments == [] and decision.after == decision.before == RECIPE
        assert f"The {allowance} steps" in decision.reason and "too few" in decision.reason


def test_a_winner_whose_check_is_not_affordable_is_told_as_such():
    bonus, found = {"adam": 0.14}, []
    for allowance in (320, 1100):
        found.append(
            run(Examples(bonus=bonus, slow={0.8: 0.1, 0.95: 0.1, 256: 0.1}), allowance=allowance)[1]
        )
    assert [decision.after.optimizer for decision in found] == ["adam", "adam"]
    assert [decision.values.rate_checked for decision in found] == [False, True]
    assert "its neighbors were not tried" in found[0].reason


def test_the_same_records_give_the_same_proposals_and_decision_in_any_order():
    trainer = Examples(bonus={128: 0.1})

    def look(proposed, outcomes):
        for seed in range(2):
            assert (
                Batch(CHUNK).propose(Context(RECIPE, facts(), shuffled(outcomes, seed))) == proposed
            )

    outcomes, decision, _ = run(trainer, look=look)
    for seed in range(3):
        assert Batch(CHUNK).decide(Context(RECIPE, facts(), shuffled(outcomes, seed))) == decision
        assert Batch(CHUNK).propose(Context(RECIPE, facts(), shuffled(outcomes, seed))) == []


def test_only_what_is_missing_is_proposed():
    def look(proposed, outcomes):
        for spec in proposed:
            done = outcomes.get(spec.trial)
            assert spec.start == (done.steps if done else 0)
        assert len({spec.trial for spec in proposed}) == len(proposed)

    first = STAGE.propose(Context(RECIPE, facts(allowance=3000), evidence()))
    outcomes, _, segments = run(look=look, allowance=3000)
    # What is first is what was planned, but for Adam's trial, whose rate was not known yet.
    planned = [spec.trial for spec in first]
    assert [
        s.trial
        for s in segments
        if s.start == 0 and "-x" not in s.trial and s.trial != "batch-64-adam"
    ] == planned


def test_what_an_interrupted_search_has_done_changes_nothing():
    trainer = Examples(bonus={128: 0.1})
    outcomes, decision, segments = run(trainer)
    again, second, rest = run(Examples(bonus={128: 0.1}), outcomes=dict(list(outcomes.items())))
    assert second == decision and rest == []


def test_a_decision_is_plain_values():
    for trainer in (Examples(), Examples(bonus={128: 0.1})):
        _, decision, _ = run(trainer)
        text = json.dumps(decision.to_dict(), allow_nan=False)
        assert registry.decision(json.loads(text)) == decision


def test_alike_is_two_per_cent_of_the_fall():
    pair = {"a": Standing(2.5, 0.5, 0.8), "b": Standing(2.3, 0.6, 0.8)}
    assert ranking.loss_noise(pair) == pytest.approx(curves.CONVERGED_SHARE * 2.0)
