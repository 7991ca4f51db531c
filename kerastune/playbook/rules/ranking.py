"""Trials of different batch sizes after the same number of examples: loss, then validation, then
seconds (S2.3).
"""

from __future__ import annotations

import dataclasses

import numpy as np

from kerastune.analysis import curves
from kerastune.analysis.comparison import Z
from kerastune.objective import Objective
from kerastune.playbook.context import Facts
from kerastune.trial import Outcome

VALIDATION, SECONDS, NOISE, ALONE = "validation", "seconds", "noise", "alone"  # what decided
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


def advantage(one: Standing, other: Standing, facts: Facts) -> int | None:
    """1 when validation is significantly better than the other's, -1 when worse, 0 for neither,
    `None` unknown.

    A value in [0, 1] of which more is better is taken for a share of right examples: the noise is
    the 95 % interval of the difference of two such shares, as if they were of different examples,
    which is too wide rather than too narrow. Of any other value the noise is that of the difference
    of two evaluations, from the larger scatter.
    """
    if one.value is None or other.value is None:
        return None
    share = (one.value + other.value) / 2
    if (
        facts.objective.direction == "max"
        and min(one.value, other.value) >= 0
        and max(one.value, other.value) <= 1
    ):
        error = np.sqrt(share * (1 - share) / max(facts.num_validation, 1))
    else:
        error = max(one.scatter, other.scatter)
    difference = facts.objective.gain(one.value) - facts.objective.gain(other.value)
    return int(np.sign(difference)) if abs(difference) > Z * np.sqrt(2) * error else 0


def choose(standings: dict[str, Standing], incumbent: str, facts: Facts) -> tuple[str, str]:
    """The winner's name and what decided (S2.3).

    Validation counts: who is significantly better there beats the incumbent, whatever the loss; who
    is only lower in loss does not. Among those alike in loss and on validation, at
    least 10 % fewer seconds decide. Else the incumbent stays.

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
    rivals, by = sorted(standings), ALONE
    if incumbent in standings:
        better = [
            name
            for name in rivals
            if (advantage(standings[name], standings[incumbent], facts) or 0) > 0
        ]
        rivals, by = better or rivals, VALIDATION if better else NOISE
    best = max(
        rivals, key=lambda name: (_gain(standings[name], facts.objective), -standings[name].loss)
    )
    best = incumbent if by == NOISE else best
    noise = loss_noise(standings)
    equals = [
        name
        for name in rivals
        if abs(standings[name].loss - standings[best].loss) <= noise
        and advantage(standings[name], standings[best], facts) == 0
        and standings[name].seconds > 0
        and facts.timed
    ]
    fastest = min(equals, key=lambda name: standings[name].seconds, default=best)
    if fastest != best and standings[fastest].seconds <= FEWER_SECONDS * standings[best].seconds:
        return fastest, SECONDS
    return best, by


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
