"""Bags: for small data, the mean of models that each left out another fold of all examples.

Training and validation part together are cut into `FOLDS`, and once more where the budget holds
that. Every model learns from all folds but one and keeps the weights that are best on that one, so
that nothing is lost to validation and every example is predicted by models that have not seen it
(Breiman 1996, "Bagging Predictors"; Krogh & Vedelsby 1995). On recorded tasks
(`runs/benchmark_bags.py`) that is better than one model, and than models that learn from all
examples to their last step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from kerastune.analysis import calibration, comparison, ensemble_selection
from kerastune.analysis.comparison import Comparison
from kerastune.playbook.ensemble_values import LeftOut
from kerastune.playbook.rules import full_training
from kerastune.recipe import Recipe
from kerastune.trial import Outcome

CHANGE = "bag"  # its name among recorded gains
FOLDS = 5
MOST_REPEATS = 2
SPARE = 0.9  # of what is left of a budget in seconds, that a repeat may be expected to take
WHOLE = 0.75  # of its steps, after which a training that ran out of time is a member all the same

# By name of the trial how to train, and which fold of which cut is left out.
Repeat = dict[str, tuple[Recipe, dict[str, int]]]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What came of judging a bag against a single model.

    Args:
        gain: of the bag, on the validation part, where neither has seen an example.
        loss_gain: the same as a fall of the loss, without temperatures.
        temperature: of the bag, by all examples, each predicted by models that left it out.
    """

    gain: Comparison
    loss_gain: Comparison
    temperature: calibration.Temperature


def repeats(recipe: Recipe, most: int) -> list[Repeat]:
    """The trainings of a bag, by cuts of all examples.

    Args:
        recipe: of the single model; every member has another seed.
        most: members at most.

    Example:
        >>> [list(each)[-1] for each in repeats(Recipe(), most=10)]
        ['ensemble-fold-5', 'ensemble-fold-5-again']
        >>> repeats(Recipe(), most=4)
        []
    """
    found = []
    for repeat in range(1, min(most // FOLDS, MOST_REPEATS) + 1):
        found.append({})
        for fold in range(1, FOLDS + 1):
            seed = recipe.seed + (repeat - 1) * FOLDS + fold
            name = f"ensemble-fold-{fold}{'-again' * (repeat - 1)}"
            cut = {"folds": FOLDS, "left_out": fold, "repeat": repeat}
            found[-1][name] = recipe.replace(seed=seed), cut
    return found


def due(
    planned: Sequence[Repeat], total: int, left: float, outcomes: Mapping[str, Outcome]
) -> list[tuple[str, Outcome | None]]:
    """Trainings that go on or begin: only whole repeats are begun, and what was begun is finished.

    Args:
        planned: as `repeats` gives them.
        total: steps of each training.
        left: steps that are left.
        outcomes: by name of the trial, what was trained so far.

    Returns:
        Names, with what was trained of each.

    Example:
        >>> planned = repeats(Recipe(total_steps=100), most=10)
        >>> [len(due(planned, 100, left, {})) for left in (499, 500, 1000)]
        [0, 5, 10]
    """
    found: list[tuple[str, Outcome | None]] = []
    for repeat in planned:
        done = {name: outcomes.get(name) for name in repeat}
        ended = [name for name, each in done.items() if each and full_training.has_ended(each)]
        if not all(_is_member(done[name]) for name in ended):
            break  # without one of its folds a repeat is worth nothing
        unfinished = [(name, each) for name, each in done.items() if name not in ended]
        steps = sum(total - (each.steps if each else 0) for _, each in unfinished)
        if steps > left and not any(done.values()):
            break
        found += [(name, each) for name, each in unfinished if each or left > 0]
        left -= steps
    return found


def members(outcomes: Mapping[str, Outcome]) -> list[str]:
    """Names of the trainings of all repeats that are whole; none without one."""
    found: list[str] = []
    for repeat in range(1, MOST_REPEATS + 1):
        of_repeat = {name: each for name, each in outcomes.items() if each.spec.repeat == repeat}
        if len(of_repeat) == FOLDS and all(map(_is_member, of_repeat.values())):
            found += sorted(of_repeat, key=lambda name: of_repeat[name].spec.left_out)
    return found


def out_of_fold(predictions: Sequence[tuple[np.ndarray, np.ndarray]], count: int) -> np.ndarray:
    """Predictions of all examples `[n, ...]` by models that left them out: the mean over repeats.

    Args:
        predictions: of every model, numbers of the examples that it left out, and what it predicts
            for them.
        count: of all examples.

    Raises:
        ValueError: where an example was left out more often than another.

    Example:
        >>> halves = [(np.array([0, 2]), np.ones([2, 1])), (np.array([1]), np.zeros([1, 1]))]
        >>> out_of_fold(halves, 3)[:, 0].tolist()
        [1.0, 0.0, 1.0]
    """
    total = np.zeros([count, *predictions[0][1].shape[1:]])
    times = np.zeros(count, int)
    for rows, predicted in predictions:
        total[rows] += predicted
        times[rows] += 1
    if times.min() != times.max():
        raise ValueError(f"examples were left out {times.min()} to {times.max()} times.")
    return total / times[0]


def judge(names: Sequence[str], known: LeftOut, single: np.ndarray, measure: str) -> Verdict:
    """How much a bag gains over a single model, and its temperature.

    Both are compared with a temperature each, where that can matter. What a bag predicts for an
    example is here the mean of as many models as there are repeats, those that left it out; all of
    them together are better.

    Args:
        names: of the members.
        known: all examples, and what members predict for those that they left out.
        single: predictions of the single model, of the validation part.
        measure: what is compared, as `ensemble_selection.example_scores` takes it.
    """
    targets = known.targets
    both = out_of_fold([known.predict(name) for name in names], len(targets))[None]
    together = ensemble_selection.cross_fitted(both, targets)
    fitted = ensemble_selection.fit(both, targets).temperature
    temperature = ensemble_selection.judged(fitted, *together, targets)
    last = slice(len(targets) - len(single), None)
    alone = ensemble_selection.cross_fitted(single[None], targets[last])
    scores = [
        ensemble_selection.example_scores(after, targets[last], measure)
        for after in (together[1][last], alone[1])
    ]
    losses = [
        -ensemble_selection.losses(before, targets[last])
        for before in (together[0][last], alone[0])
    ]
    gain, loss_gain = comparison.difference(*scores), comparison.difference(*losses)
    return Verdict(gain, loss_gain, temperature)


def _is_member(outcome: Outcome) -> bool:
    """Whether a training ended with weights, and as good as whole."""
    is_whole = not outcome.out_of_time or outcome.steps >= WHOLE * outcome.spec.recipe.total_steps
    is_sound = outcome.diverged_at is None and outcome.weights_kept
    is_sound = is_sound and outcome.example_scores is not None
    return is_sound and is_whole and full_training.has_ended(outcome)
