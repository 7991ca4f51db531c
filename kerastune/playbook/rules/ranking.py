"""Trials of different batch sizes after the same number of examples: loss, then validation, then
seconds (S2.3).
"""

from __future__ import annotations

import dataclasses

import numpy as np

from kerastune.analysis import curves
from kerastune.analysis.comparison import Comparison, Z
from kerastune.objective import Objective
from kerastune.playbook.context import Facts
from kerastune.playbook.rules import expected_gain
from kerastune.playbook.rules.expected_gain import Expected
from kerastune.trial import Outcome

# What decided.
VALIDATION, LOSS, SECONDS, NOISE, ALONE = "validation", "loss", "seconds", "noise", "alone"
FEWER_SECONDS = 0.9  # of the other's; below, the gain in time is worth a change


@dataclasses.dataclass(frozen=True)
class Standing:
    """How a trial stands after a number of examples.

    Args:
        first: its first loss.
        loss: its smoothed loss.
        value: the best validation objective up to there, since the best weights of a run at a
            constant rate are what is kept of it; `None` when none is finite.
        scatter: standard deviation of one evaluation, from its neighbors; infinite with fewer than
            three.
        seconds: of training up to there; 0 when nothing was timed.
    """

    first: float
    loss: float
    value: float | None
    scatter: float = float("inf")
    seconds: float = 0.0


def seen(outcome: Outcome) -> int:
    """Examples that a trial has trained on."""
    return outcome.steps * outcome.spec.recipe.batch_size


def standing(
    outcome: Outcome, examples: int, time_constant: float, objective: Objective
) -> Standing:
    """How a sound trial stands after so many examples.

    Evaluations of different batch sizes seldom fall on the same number of examples, so the
    objective at the end is read off the line between the two nearest; an earlier one counts where
    it was better, as when the run overfits since.

    Args:
        outcome: a trial that has seen as many.
        examples: at least one batch.
        time_constant: of the smoothing, in examples and not steps, so that no batch size lags
            behind or is smoother.
        objective: the validation value that chooses.
    """
    batch_size = outcome.spec.recipe.batch_size
    losses = outcome.losses[: max(examples // batch_size, 1)]
    evals = [
        (each["step"] * batch_size, each.get(objective.name, np.nan)) for each in outcome.evals
    ]
    sound = [(where, value) for where, value in evals if np.isfinite(value)]
    values = [value for where, value in sound if where <= examples]
    if sound:
        values.append(float(np.interp(examples, *zip(*sound))))
    return Standing(
        first=float(losses[0]),
        loss=float(curves.smoothed(losses, time_constant / batch_size)[-1]),
        value=max(values, key=objective.gain, default=None),
        scatter=_scatter([value for where, value in sound if where <= examples]),
        seconds=outcome.seconds_per_step * examples / batch_size,
    )


def standings(
    outcomes: dict[str, Outcome], examples: int, batch_size: int, objective: Objective
) -> tuple[dict[str, Standing], int]:
    """How trials stand after so many examples, or as many as all of them have seen; and that
    number.

    Args:
        outcomes: sound trials by name.
        examples: at most these.
        batch_size: whose steps the smoothing counts, for all.
        objective: the validation value that chooses.

    Returns:
        A pair: `Standing` by name, and the common number of examples.
    """
    common = min([examples, *(seen(outcome) for outcome in outcomes.values())])
    constant = max(curves.SMOOTHING_LEAST * batch_size, curves.SMOOTHING_SHARE * common)
    return {
        name: standing(each, common, constant, objective) for name, each in outcomes.items()
    }, common


def loss_noise(standings: dict[str, Standing]) -> float:
    """Difference of smoothed losses that means nothing: 2 % of the fall."""
    lowest = min(each.loss for each in standings.values())
    return curves.CONVERGED_SHARE * max(
        max(each.first for each in standings.values()) - lowest, 0.0
    )


def promising(standings: dict[str, Standing], objective: Objective) -> list[str]:
    """Names of those that are not hopeless, the best first: by loss, and where losses are alike by
    validation.
    """
    names, noise = sorted(standings), loss_noise(standings)
    losses = np.array([standings[name].loss for name in names])
    lost = curves.hopeless(losses, noise)

    def rank(name: str):
        excess = standings[name].loss - losses.min()
        return (excess if excess > noise else 0.0, -_gain(standings[name], objective), name)

    return sorted((name for name, gone in zip(names, lost) if not gone), key=rank)


def advantage(one: Standing, other: Standing, facts: Facts) -> Expected | None:
    """The expected gain on validation over the other one; `None` where nothing is known.

    A value in [0, 1] of which more is better is taken for a fraction of right examples: the error
    is that of the difference of two such fractions, as if they were of different examples, which is
    too large rather than too small. Of any other value it is that of the difference of two
    evaluations, from the larger scatter.
    """
    if one.value is None or other.value is None:
        return None
    fraction = (one.value + other.value) / 2
    is_fraction = (
        facts.objective.direction == "max"
        and 0 <= min(one.value, other.value)
        and (max(one.value, other.value) <= 1)
    )
    if is_fraction:
        error = np.sqrt(fraction * (1 - fraction) / max(facts.num_validation, 1))
    else:
        error = max(one.scatter, other.scatter)
    gain = facts.objective.gain(one.value) - facts.objective.gain(other.value)
    half = Z * np.sqrt(2) * error
    scale = 1.0 if is_fraction else max(abs(other.value), 1e-12)
    prior, seed_std = (
        expected_gain.prior("batch", facts.data),
        expected_gain.seed_std(facts.data, facts.num_train),
    )
    return expected_gain.expected(
        Comparison(gain, gain - half, gain + half), prior, scale, seed_std
    )


def choose(standings: dict[str, Standing], incumbent: str, facts: Facts) -> tuple[str, str]:
    """The winner's name and what decided (S2.3).

    The highest expected value on validation wins. Among those that are tied with it there, and
    alike in loss, at least 10 % fewer seconds decide, else the lowest loss; the incumbent stays
    where it is tied in both.

    Args:
        standings: after the same number of examples, at least one.
        incumbent: name of the setting that stays if nothing speaks against it; it may be missing,
            having diverged.
        facts: the objective and how many validation examples there are.

    Example:
        >>> known = Facts(6400, 1000, Objective("accuracy", "max"), 0)
        >>> choose({"old": Standing(2.3, 0.5, 0.80), "new": Standing(2.3, 0.5, 0.90)}, "old", known)
        ('new', 'validation')
    """
    names = sorted(standings)
    start = incumbent if incumbent in standings else names[0]
    best = max(names, key=lambda name: _over(standings[name], standings[start], facts))
    if _over(standings[best], standings[start], facts) <= 0:
        best = start
    tied = [name for name in names if not _is_better(standings[best], standings[name], facts)]
    noise = loss_noise(standings)
    lowest = min(standings[name].loss for name in tied)
    equals = [name for name in tied if standings[name].loss - lowest <= noise]
    by = LOSS if start in tied else VALIDATION
    best = start if start in equals else min(equals, key=lambda name: standings[name].loss)
    if best == incumbent:
        by = NOISE
    timed = [name for name in equals if standings[name].seconds > 0 and facts.timed]
    fastest = min(timed, key=lambda name: standings[name].seconds, default=best)
    if fastest != best and standings[fastest].seconds <= FEWER_SECONDS * standings[best].seconds:
        return fastest, SECONDS
    return best, ALONE if incumbent not in standings else by


def _over(one: Standing, other: Standing, facts: Facts) -> float:
    """The expected gain of one over another; minus infinity where nothing is known of it."""
    found = advantage(one, other, facts)
    return -np.inf if found is None else found.mean


def _is_better(one: Standing, other: Standing, facts: Facts) -> bool:
    """Whether one is expected to be better than another by more than a tie."""
    found = advantage(one, other, facts)
    return one.value is not None if found is None else found.is_gain


def _gain(one: Standing, objective: Objective) -> float:
    return -np.inf if one.value is None else objective.gain(one.value)


def _scatter(values: list[float]) -> float:
    # A second difference does not see a rise; its standard deviation is sqrt(6) times that of a
    # value.
    return (
        float(np.median(np.abs(np.diff(values, 2))) / (0.6745 * np.sqrt(6)))
        if len(values) > 2
        else float("inf")
    )
