"""Rules on curves: hand-made ones whose answer is known, and real ones that were labeled by eye.

`data/real_curves.npz` holds curves that kerastune's own trainer made (constant rates, batches of
64, or 16 for the tables): the true loss of every step, and the validation accuracy every 50 or 100
steps (minus the loss for diabetes).

How a label was made. Loss: drawn with the axis from 2 % of the fall below the end to 15 % above;
the label is the step from which the middle of the line stays below 2 % above its last tenth, single
spikes overlooked. Validation: the first evaluation of the last plateau, where a single example up
or down, or a wiggle no larger than its neighbors', does not count as a rise.
"""

from pathlib import Path

import numpy as np
import pytest

from kerastune.analysis import curves

REAL = np.load(Path(__file__).parent / "real_curves.npz", allow_pickle=False)

CONVERGED = {
    "digits_mlp_sgd_0.001": 850,
    "digits_mlp_sgd_0.01": 155,
    "digits_mlp_adam_0.001": 140,
    "digits_cnn_sgd_0.003": 290,
    "digits_cnn_sgd_0.03": 58,
    "digits_linear_sgd_0.03": 330,
    "cancer_mlp_sgd_0.001": 880,
    "cancer_mlp_sgd_0.01": 235,
    "wine_mlp_adam_0.001": 58,
    "fashion_cnn_sgd_0.03": 1450,
    # Here the noise of a step is several times 2 % of the fall.
    "fashion_mlp_adam_0.001": 1750,
    "fashion_mlp_sgd_0.03": 1700,
    "fashion_mlp_sgd_0.003": 1750,
    "fashionnoisy_mlp_sgd_0.03": 2700,
}
SETTLED = {
    "digits_mlp_sgd_0.001": 1300,
    "digits_mlp_sgd_0.01": 150,
    "digits_mlp_adam_0.001": 150,
    "digits_cnn_sgd_0.003": 350,
    "digits_linear_sgd_0.03": 300,
    "cancer_mlp_sgd_0.01": 50,
    "diabetes_linear_sgd_0.01": 100,
    "wine_mlp_adam_0.001": 50,
    "fashion_cnn_sgd_0.03": 1900,
    "fashion_mlp_adam_0.001": 2100,
    "fashion_mlp_sgd_0.03": 1900,
    "fashion_mlp_sgd_0.003": 2500,
    "fashionnoisy_mlp_sgd_0.03": 2100,
}


def falling(steps=1000, tau=100.0, floor=0.1, noise=0.0, seed=0):
    clean = floor + 2 * np.exp(-np.arange(steps) / tau)
    return clean * (1 + noise * np.random.default_rng(seed).normal(size=steps))


# smoothed


def test_smoothed_begins_with_the_first_loss_and_keeps_a_constant():
    assert curves.smoothed(np.array([4.0, 0.0]))[0] == 4.0
    np.testing.assert_allclose(curves.smoothed(np.full(500, 3.0)), 3.0)


def test_smoothed_is_the_bias_corrected_exponential_mean():
    losses = np.random.default_rng(0).normal(size=60)
    weights = np.exp(-np.arange(60)[::-1] / 7.0)
    assert curves.smoothed(losses, 7.0)[-1] == pytest.approx(
        np.sum(weights * losses) / np.sum(weights)
    )


def test_smoothed_takes_one_percent_of_the_steps_and_at_least_ten():
    losses = np.random.default_rng(0).normal(size=3000)
    np.testing.assert_array_equal(curves.smoothed(losses), curves.smoothed(losses, 30.0))
    np.testing.assert_array_equal(
        curves.smoothed(losses[:500]), curves.smoothed(losses[:500], 10.0)
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_smoothed_is_never_finite_again_after_a_bad_value(bad):
    result = curves.smoothed(np.r_[np.ones(5), bad, np.ones(50)])
    assert np.isfinite(result[:5]).all() and not np.isfinite(result[5:]).any()


# diverged_at


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("step", [0, 500, 999])
def test_the_first_loss_that_is_not_finite_is_where_a_run_is_lost(bad, step):
    losses = falling()
    losses[step] = bad
    assert curves.diverged_at(losses) == step
    losses[step:] = bad
    assert curves.diverged_at(losses) == step


def test_an_explosion_counts_before_the_nan_that_follows_it():
    losses = np.r_[np.ones(100), np.full(50, 100.0), np.nan]
    assert curves.diverged_at(losses) == 100


def test_a_slow_explosion_is_seen_when_the_smoothed_loss_passes_three_times_the_first():
    losses = np.r_[np.ones(100), np.full(100, 4.0)]
    found = curves.diverged_at(losses)
    # 1 + 3 (1 - exp(-k/10)) passes 3 at k = 11.
    assert found == 100 + 10
    assert curves.diverged_at(np.r_[np.ones(100), np.full(1000, 2.9)]) is None


def test_one_spike_is_no_explosion():
    losses = np.ones(200)
    losses[50] = 15.0
    assert curves.diverged_at(losses) is None


def test_an_explosion_is_measured_against_the_runs_own_first_loss():
    losses = np.full(50, 2.0)
    assert curves.diverged_at(losses) is None
    assert curves.diverged_at(losses, first=0.5) == 10
    assert curves.diverged_at(np.full(50, 2.0), first=np.nan) is None


def test_a_first_loss_of_zero_or_below_never_explodes():
    assert curves.diverged_at(np.r_[0.0, np.full(50, 9.0)]) is None
    assert curves.diverged_at(np.r_[-1.0, np.full(50, 9.0)]) is None


def test_sound_and_empty_curves_have_not_diverged():
    assert curves.diverged_at(falling(noise=0.3)) is None
    assert curves.diverged_at(np.zeros(0)) is None


def test_a_real_run_at_too_large_a_rate_is_lost_at_once():
    assert curves.diverged_at(REAL["fashion_mlp_sgd_0.3/loss"]) == 10


# fastest_and_deepest


def test_of_equally_deep_curves_the_fastest_wins():
    assert curves.fastest_and_deepest([falling(tau=200), falling(tau=50), falling(tau=100)]) == 1


def test_a_fast_curve_that_ends_much_higher_loses():
    assert (
        curves.fastest_and_deepest([falling(tau=20, floor=0.5), falling(tau=100, floor=0.1)]) == 1
    )


def test_within_five_percent_of_the_fall_depth_is_the_same_and_speed_decides():
    fast = falling(tau=20, floor=0.15)
    assert curves.fastest_and_deepest([falling(tau=100, floor=0.1), fast]) == 1
    # 0.25 is more than 5 % of a fall of 2 above 0.1.
    assert (
        curves.fastest_and_deepest([falling(tau=100, floor=0.1), falling(tau=20, floor=0.25)]) == 0
    )


def test_a_first_loss_of_hundreds_does_not_hide_that_one_curve_ends_far_below_the_other():
    steps = np.arange(100)
    quick = 9 + 460 * np.exp(-steps / 4)
    deep = 1 + 460 * np.exp(-steps / 6)
    assert curves.fastest_and_deepest([quick, deep], start=np.log(3)) == 1
    # What begins below three times the loss of a guess is compared as ever.
    for start in (np.inf, 1.0):
        assert curves.fastest_and_deepest([quick / 200, deep / 200], start) == 0


def test_the_first_wins_a_tie():
    assert curves.fastest_and_deepest([falling(), falling(), falling()]) == 0


def test_curves_are_compared_over_the_steps_they_share():
    late = np.r_[np.full(300, 2.0), np.zeros(700)]
    early = falling(300, tau=100)
    assert curves.fastest_and_deepest([late, early]) == 1


@pytest.mark.parametrize("step", [0, 500, 999])
def test_a_curve_with_nan_never_wins(step):
    broken = falling(tau=10, floor=0.0)
    broken[step] = np.nan
    assert curves.fastest_and_deepest([broken, falling()]) == 1


def test_nobody_wins_when_all_diverged_or_have_no_step():
    assert curves.fastest_and_deepest([np.array([np.nan]), np.r_[1.0, np.full(50, 99.0)]]) is None
    assert curves.fastest_and_deepest([]) is None
    assert curves.fastest_and_deepest([np.zeros(0)]) is None


def test_an_empty_curve_does_not_hide_the_others():
    assert curves.fastest_and_deepest([np.zeros(0), falling()]) == 1


# converged_step


@pytest.mark.parametrize("tau", [50, 100, 200, 400])
def test_an_exponential_converges_where_two_percent_of_the_fall_are_left(tau):
    # exp(-step / tau) = 0.02 at step 3.91 tau.
    assert curves.converged_step(falling(2000, tau)) == pytest.approx(3.91 * tau, rel=0.1)


def test_small_noise_does_not_move_the_converged_step():
    assert curves.converged_step(falling(2000, 100, noise=0.02)) == pytest.approx(391, rel=0.2)


def test_a_late_drop_moves_convergence_to_the_drop():
    plateau = np.r_[falling(500, 50, floor=1.0), np.full(1000, 0.2)]
    assert curves.converged_step(plateau) == pytest.approx(500, rel=0.2)


def test_a_plateau_before_the_fall_is_not_taken_for_convergence():
    losses = np.r_[np.full(600, 2.3), 2.3 * np.exp(-np.arange(900) / 50)]
    assert curves.converged_step(losses) == pytest.approx(600 + 196, rel=0.1)


def test_a_curve_that_still_falls_converges_at_its_end():
    assert curves.converged_step(np.linspace(2, 0, 1000)) >= 950


@pytest.mark.parametrize(
    "losses", [np.ones(300), np.zeros(300), np.linspace(1, 2, 300), np.array([0.7])]
)
def test_a_curve_that_never_falls_converges_at_once(losses):
    assert curves.converged_step(losses) == 1


def test_two_steps_are_enough_for_an_answer():
    assert curves.converged_step(np.array([2.0, 1.0])) in (1, 2)


@pytest.mark.parametrize("losses", [[], [1.0, np.nan], [np.inf, 1.0], [1.0, np.nan, 1.0]])
def test_a_converged_step_of_no_sound_curve_is_refused(losses):
    with pytest.raises(ValueError, match="finite"):
        curves.converged_step(np.array(losses))


@pytest.mark.parametrize("name", CONVERGED)
def test_the_converged_step_of_real_curves_is_within_a_fifth_of_the_label(name):
    assert curves.converged_step(REAL[f"{name}/loss"]) == pytest.approx(CONVERGED[name], rel=0.2)


# settled_step


def settled(values, every=100):
    return curves.settled_step(np.arange(1, len(values) + 1) * every, np.array(values, np.float64))


@pytest.mark.parametrize("name", SETTLED)
def test_the_settled_step_of_real_validation_is_within_a_fifth_or_one_evaluation_of_the_label(name):
    steps = REAL[f"{name}/steps"]
    found = curves.settled_step(steps, REAL[f"{name}/values"])
    assert abs(found - SETTLED[name]) <= max(0.2 * SETTLED[name], steps[1] - steps[0])


def test_a_plateau_has_settled_at_its_first_evaluation():
    assert settled([0.50, 0.70, 0.80, 0.90, 0.91, 0.90, 0.91, 0.90, 0.91, 0.90]) == 400


def test_a_steep_rise_is_not_taken_for_noise():
    assert settled([0.70, 0.78, 0.84, 0.88, 0.90, 0.91, 0.915, 0.917]) == 600


def test_validation_that_still_improves_has_not_settled():
    assert settled(np.linspace(0.5, 0.9, 20)) >= 1800


def test_a_late_jump_settles_at_the_jump():
    assert settled([0.8] * 15 + [0.9] * 10) == 1600


def test_overfitting_settles_before_validation_falls():
    rising, falling_again = np.linspace(0.5, 0.9, 10), np.linspace(0.89, 0.7, 20)
    assert settled(np.r_[rising, falling_again]) <= 1000


def test_single_examples_up_and_down_are_no_improvement():
    values = [0.5, 0.8] + [0.90, 0.90, 0.90, 0.91] * 7
    assert settled(values) == 300


def test_constant_validation_settles_at_its_first_evaluation():
    assert settled([0.9] * 12) == 100


def test_noise_alone_settles_early():
    noise = 0.9 + 0.01 * np.random.default_rng(3).normal(size=40)
    assert settled(noise) <= 1000


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_fewer_than_five_evaluations_cannot_tell(count):
    assert settled([0.9] * count) == 100 * count


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, 6, 11])
def test_an_evaluation_that_is_not_finite_is_passed_over(bad, position):
    values = np.r_[0.5, 0.7, 0.8, np.full(9, 0.9)]
    sound = settled(values)
    values[position] = bad
    assert abs(settled(values) - sound) <= 100


def test_nothing_finite_settles_at_the_end():
    assert settled([np.nan] * 8) == 800
    assert settled([0.9, np.nan, 0.9, np.nan, 0.9, 0.9]) == 600


def test_a_rising_fit_never_falls_and_keeps_the_mean():
    values = np.random.default_rng(0).normal(size=50).cumsum()
    fit = curves.rising_fit(values)
    assert (np.diff(fit) >= 0).all()
    assert fit.mean() == pytest.approx(values.mean())
    np.testing.assert_array_equal(curves.rising_fit(np.sort(values)), np.sort(values))


# total_steps and hopeless


def test_the_margin_is_the_playbooks():
    assert curves.total_steps(4000) == 6000
    assert curves.total_steps(1) == 2 and isinstance(curves.total_steps(333), int)


def test_only_the_lower_half_beyond_noise_is_hopeless():
    losses = np.array([0.5, 0.1, 0.9, 0.11])
    assert curves.hopeless(losses, 0.05).tolist() == [True, False, True, False]
    # The upper half stays, however far it is from the best.
    assert curves.hopeless(np.array([0.1, 5.0, 6.0]), 0.01).tolist() == [False, False, True]


def test_within_noise_nobody_is_hopeless():
    assert not curves.hopeless(np.array([0.1, 0.12, 0.13, 0.14]), 0.05).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_diverged_run_is_always_hopeless(bad):
    assert curves.hopeless(np.array([bad, 0.1]), 1e9).tolist() == [True, False]
    assert curves.hopeless(np.array([bad, bad]), 1e9).tolist() == [True, True]


def test_the_best_is_never_hopeless_even_in_a_tie():
    assert curves.hopeless(np.array([0.2, 0.2, 0.2]), 0.0).tolist() == [False, False, False]
    assert curves.hopeless(np.array([0.2]), 0.0).tolist() == [False]


def test_one_large_loss_at_the_start_is_no_explosion():
    assert curves.diverged_at(np.r_[1.0, 9.0, np.linspace(1, 0.5, 98)]) is None
    assert curves.diverged_at(np.r_[1.0, np.full(99, 9.0)]) == 10


def test_curves_that_all_end_above_their_start_still_have_a_best():
    assert curves.fastest_and_deepest([np.linspace(1, 2.5, 50), np.linspace(1, 2, 50)]) == 1


@pytest.mark.parametrize("share, expected", [(0.5, False), (0.75, False), (0.9, True), (1.0, True)])
def test_a_curve_still_falls_when_it_falls_in_its_last_fifth(share, expected):
    falling = int(2000 * share)
    losses = np.r_[np.linspace(2, 0.1, falling), np.full(2000 - falling, 0.1)]
    losses += 0.02 * np.random.default_rng(1).normal(size=2000)
    assert curves.still_falls(losses) == expected
    assert not curves.still_falls(losses[::-1])  # it rises
