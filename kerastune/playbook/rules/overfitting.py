"""What a whole training shows of overfitting, and whether more steps are worth a try once it is
regularized.
"""

from __future__ import annotations

import numpy as np

from kerastune.analysis import curves
from kerastune.analysis.comparison import Z
from kerastune.objective import best_evaluation
from kerastune.playbook.context import Facts
from kerastune.trial import Outcome

RISE = 0.05  # of the least validation loss, or of another value that is no fraction
LEAST_LOSS = 1e-6  # losses below are as good as 0, and rise by no share of themselves
END_SHARE = 0.1  # of the steps, over which the training's own values are averaged


def overfitting(run: Outcome, facts: Facts) -> tuple[str, bool]:
    """What a whole training shows of overfitting, in words, and whether it does (`PLAYBOOK`:
    overfitting).

    Either validation loss ends more than 5 % above its least, or the metric is better on training
    than on validation examples by more than the 95 % interval of the latter.
    """
    rise = loss_rise(run)
    rises = f"validation loss ends {100 * rise:.1f} % above its least"
    gap, noise = _gap(run, facts)
    gaps = (
        f"training is {100 * gap:.2f} points better than validation (95 % CI ± {100 * noise:.2f})"
    )
    is_overfitting = bool(rise > RISE or gap > noise)
    verdict = "it overfits" if is_overfitting else "no overfitting"
    return f"{rises} and {gaps}: {verdict}", is_overfitting


def is_cut_short(run: Outcome) -> bool:
    """Whether a regularized training could do with more steps: its loss still falls, validation's
    has not risen.

    With what regularizes on, the network overfits later: what was enough before may
    not be now.
    """
    return curves.still_falls(run.losses) and loss_rise(run) <= RISE


def loss_rise(run: Outcome) -> float:
    """How far the validation loss ends above its least, as a share of it."""
    losses = np.array([values["loss"] for values in run.evals])
    least = float(np.nanmin(losses))
    return float(losses[-1] - least) / max(abs(least), LEAST_LOSS)


def _gap(run: Outcome, facts: Facts) -> tuple[float, float]:
    """By how much the end of the training is better than validation, in the metric or loss, and the
    noise of that.
    """
    name, sign = (
        ("accuracy", 1)
        if "accuracy" in run.curves and "accuracy" in run.evals[-1]
        else ("loss", -1)
    )
    training = float(np.mean(run.curves[name][-max(int(END_SHARE * run.steps), 1) :]))
    validation = run.evals[-1][name]
    std = (
        np.sqrt(validation * (1 - validation))
        if name == "accuracy"
        else float(np.std(run.example_scores))
    )
    return sign * (training - validation), float(Z * std / np.sqrt(facts.num_validation))


def is_worse(evaluation: dict, run: Outcome, facts: Facts) -> bool:
    """Whether an evaluation is worse than the best one of its run.

    By more than one standard error of a fraction of right examples, or 5 % of any other value.
    """
    objective = facts.objective
    best, value = best_evaluation(run.evals, objective)[objective.name], evaluation[objective.name]
    is_fraction = objective.direction == "max" and 0 <= min(best, value) <= max(best, value) <= 1
    noise = np.sqrt(best * (1 - best) / facts.num_validation) if is_fraction else RISE * abs(best)
    return objective.gain(best) - objective.gain(value) > noise


def ends_worse(run: Outcome, facts: Facts) -> bool:
    """Whether a whole training ends worse on validation than it had been."""
    is_whole = run.steps >= run.spec.recipe.total_steps and run.diverged_at is None
    return is_whole and run.example_scores is not None and is_worse(run.evals[-1], run, facts)
