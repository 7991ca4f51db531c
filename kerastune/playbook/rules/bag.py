"""Bags: for small data, the mean of models that each left out another fold of all examples.

Training and validation part together are cut into `FOLDS`, and again as often as the budget holds
that; what is left then trains some folds of one cut more. Every model learns from all folds but one
and keeps the weights that are best on that one, so that nothing is lost to validation and every
example is predicted by models that have not seen it (Breiman 1996, "Bagging Predictors"; Krogh &
Vedelsby 1995). On recorded tasks (`runs/universe_folds.py`) that is better than one model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from kerastune.analysis import comparison, ensemble_selection
from kerastune.analysis.comparison import Comparison
from kerastune.playbook.context import Facts
from kerastune.playbook.ensemble_values import LeftOut
from kerastune.playbook.rules import full_training
from kerastune.recipe import Recipe
from kerastune.trial import Outcome

CHANGE = "bag"  # its name among recorded gains
FOLDS = 5
FRACTION = "a fifth"  # 1 / FOLDS
MOST_REPEATS = 4
MORE_MEMBERS = 2  # times as many as an ensemble has: models of small data cost little to serve
FEW = 2000  # training examples, of which five short trainings are worth more than a long one
LONGER = 3  # times its steps that a recipe of more may take, before a bag follows
# Of the steps that a training would take without a bag. Of more examples members of a quarter are
# together as good as one whole training (`runs/universe_folds.py`), so they are longer than that.
SHORTEST, SHORTER = 1 / 4, 1 / 3
STRETCHED = 1.2  # times its steps that a member may take, so that no time is left over
LENGTHENED = 1.5  # times the steps of a bag that was begun, with which another one is
# Of what is left of a budget in seconds, that members may be expected to take: each also begins,
# saves and ends, which the steps of longer trainings don't tell.
SPARE = 0.8
SPARE_LATER = 0.95  # once the first repeat is whole: without a later one the bag is sound
WHOLE = 0.75  # of its steps, after which a training is a member that is as good as whole

# By name of the trial how to train, and which fold of which cut is left out.
Repeat = dict[str, tuple[Recipe, dict[str, int]]]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What came of judging a bag against a single model.

    Args:
        gain: of the bag, on the validation part, which neither was trained on.
        loss_gain: the same as a fall of the loss.
        predictions: of all examples `[n, ...]`, each by models that left it out.
    """

    gain: Comparison
    loss_gain: Comparison
    predictions: np.ndarray


def trainings(facts: Facts, recipe: Recipe) -> int:
    """Trainings of the recipe that a budget holds before a bag is planned: the single model, the
    first repeat and, of a budget in seconds, one to spare, since nobody knows how long they take.
    Of more than a few examples as many more, for a longer recipe, which may gain more; but for a
    network that says how many steps suit it.

    Example:
        >>> from kerastune.objective import Objective
        >>> facts = [Facts(n, 90, Objective("loss", "min"), 0, timed=False) for n in (500, 5000)]
        >>> [trainings(each, Recipe()) for each in facts]
        [6, 18]
    """
    knows_steps = 0 < facts.known_steps(recipe) <= recipe.total_steps
    is_long_enough = facts.num_train <= FEW or knows_steps
    return _with_single(facts.timed) * (1 if is_long_enough else LONGER)


def part(timed: bool) -> float:
    """Fraction of what is left, that a training leaves to a bag of such trainings."""
    return 1 - 1 / _with_single(timed)


def _with_single(timed: bool) -> int:
    return FOLDS + 1 + timed


def affordable(steps: int, facts: Facts, recipe: Recipe) -> int:
    """Steps of a training that is followed by a bag: fewer than are wanted where a budget then
    holds a bag, of few examples down to `SHORTEST` of them, of more, if the network names its
    steps, down to `SHORTER`.

    Args:
        steps: that are wanted.
        facts: of the search.
        recipe: of the training.

    Example:
        >>> from kerastune.objective import Objective
        >>> facts = [Facts(500, 90, Objective("loss", "min"), n) for n in (7000, 3500, 1000)]
        >>> [affordable(1000, each, Recipe()) for each in facts]
        [1000, 500, 1000]
    """
    held = facts.allowance // trainings(facts, recipe.over(steps))
    least = SHORTEST if facts.num_train <= FEW else SHORTER if facts.known_steps(recipe) else 1.0
    return held if least * steps <= held < steps else steps


def begun(recipe: Recipe, outcomes: Mapping[str, Outcome]) -> list[int]:
    """Steps of the members of bags of a recipe, whatever its own, in the order of their trainings.

    Args:
        recipe: of the single model.
        outcomes: by name of the trial.
    """
    trained = [each.spec.recipe for each in outcomes.values() if each.spec.repeat]
    return [
        each.total_steps
        for each in trained
        if each.replace(seed=recipe.seed) == recipe.over(each.total_steps)
    ]


def member_steps(
    recipe: Recipe, every: int, left: float, facts: Facts, outcomes: Mapping[str, Outcome]
) -> int:
    """Steps of each member, so that whole members fill the steps that are left: those of the single
    model, or up to `STRETCHED` times as many. Where only a shorter first repeat fits they are
    fewer, but not below `SHORTEST` of them, of more examples `WHOLE`, or `SHORTER` of the steps
    that the network names.

    A bag of the recipe that was begun keeps its steps, unless `LENGTHENED` times as many fit: then
    the search was extended.

    Args:
        recipe: of the single model.
        every: of which the steps are a multiple.
        left: steps.
        facts: of the search.
        outcomes: by name of the trial.

    Example:
        >>> from kerastune.objective import Objective
        >>> recipe, facts = Recipe(total_steps=1000), Facts(500, 90, Objective("loss", "min"), 0)
        >>> [member_steps(recipe, 50, left, facts, {}) for left in (6900, 6000, 4100, 1000)]
        [1150, 1000, 800, 1000]
    """
    held = max(left // recipe.total_steps, FOLDS)
    fits = int(min(STRETCHED * recipe.total_steps, left / held)) // every * every
    fits = facts.within_epochs(fits, recipe.batch_size, every)
    known = begun(recipe, outcomes)
    if known and fits < LENGTHENED * known[-1]:
        return known[-1]
    least = (SHORTEST if facts.num_train <= FEW else WHOLE) * recipe.total_steps
    named = SHORTER * facts.known_steps(recipe)
    if facts.num_train > FEW and 0 < named <= recipe.total_steps:
        least = named
    return fits if fits >= max(least, 1) else recipe.total_steps


def repeats(
    recipe: Recipe, most: int, outcomes: Mapping[str, Outcome], extensions: int = 0
) -> list[Repeat]:
    """The trainings of a bag, by cuts of all examples.

    Args:
        recipe: of the single model; every member has another seed.
        most: members at most.
        outcomes: by name of the trial; those of another recipe, before an extension, keep theirs.
        extensions: of the search; in each a training that failed may be tried once more, with
            another seed.

    Example:
        >>> [list(each)[-1] for each in repeats(Recipe(), 10, {})]
        ['ensemble-fold-5', 'ensemble-fold-10']
        >>> repeats(Recipe(), 4, {})
        []
    """
    found = []
    for repeat in range(1, min(most // FOLDS, MOST_REPEATS) + 1):
        found.append({})
        for fold in range(1, FOLDS + 1):
            number = (repeat - 1) * FOLDS + fold
            name, trained = _tried(number, recipe, outcomes, extensions)
            cut = {"folds": FOLDS, "left_out": fold, "repeat": repeat}
            found[-1][name] = trained, cut
    return found


def _tried(
    number: int, recipe: Recipe, outcomes: Mapping[str, Outcome], extensions: int
) -> tuple[str, Recipe]:
    """Name and recipe of a member's training: of the first that did not fail, or the last one."""
    for attempt in range(extensions + 1):
        seed = recipe.seed + number + attempt * MOST_REPEATS * FOLDS
        trained = recipe.replace(seed=seed)
        name = full_training.unused(f"ensemble-fold-{number}", trained, outcomes)
        if name not in outcomes or not _has_failed(outcomes[name]):
            break
    return name, trained


def due(
    planned: Sequence[Repeat], total: int, left: float, outcomes: Mapping[str, Outcome]
) -> list[tuple[str, Outcome | None]]:
    """Trainings that go on or begin, as many as fit: the first repeat is begun as a whole only, and
    what was begun is finished.

    Args:
        planned: as `repeats` gives them.
        total: steps of each training.
        left: steps that are left.
        outcomes: by name of the trial, what was trained so far.

    Returns:
        Names, with what was trained of each.

    Example:
        >>> planned = repeats(Recipe(total_steps=100), 10, {})
        >>> [len(due(planned, 100, left, {})) for left in (499, 500, 700, 1000)]
        [0, 5, 7, 10]
    """
    found: list[tuple[str, Outcome | None]] = []
    for number, repeat in enumerate(planned):
        done = {name: outcomes.get(name) for name in repeat}
        ended = [name for name, each in done.items() if each and full_training.has_ended(each)]
        if not number and not all(_is_member(done[name]) for name in ended):
            break  # without one of its folds the first repeat is worth nothing
        unfinished = [(name, each) for name, each in done.items() if name not in ended]
        steps = sum(total - (each.steps if each else 0) for _, each in unfinished)
        if steps > left and not number and not any(done.values()):
            break
        for name, each in unfinished:
            cost = total - (each.steps if each else 0)
            if each or (cost <= left if number else left > 0):
                found.append((name, each))
                left -= cost
    return found


def members(planned: Sequence[Repeat], outcomes: Mapping[str, Outcome]) -> list[str]:
    """Names of the trainings of a first repeat that is whole, and of all later ones that did not
    fail; none without it.

    Args:
        planned: as `repeats` gives them.
        outcomes: by name of the trial, what was trained.
    """
    first, *_ = planned or [{}]
    sound = [
        name
        for repeat in planned
        for name in repeat
        if name in outcomes and _is_member(outcomes[name])
    ]
    return sound if first and set(first) <= set(sound) else []


def out_of_fold(predictions: Sequence[tuple[np.ndarray, np.ndarray]], count: int) -> np.ndarray:
    """Predictions of all examples `[n, ...]`: the mean of the models that left each out.

    Args:
        predictions: of every model, numbers of the examples that it left out, and what it predicts
            for them.
        count: of all examples.

    Raises:
        ValueError: where no model left an example out.

    Example:
        >>> halves = [(np.array([0, 2]), np.ones([2, 1])), (np.array([1]), np.zeros([1, 1]))]
        >>> out_of_fold([*halves, (np.array([0]), np.zeros([1, 1]))], 3)[:, 0].tolist()
        [0.5, 0.0, 1.0]
    """
    total = np.zeros([count, *predictions[0][1].shape[1:]])
    times = np.zeros(count, int)
    for rows, predicted in predictions:
        total[rows] += predicted
        times[rows] += 1
    if not times.min():
        raise ValueError(f"{int((times == 0).sum())} examples were left out by no model.")
    return total / times.reshape(-1, *[1] * (total.ndim - 1))


def judge(names: Sequence[str], known: LeftOut, single: np.ndarray, measure: str) -> Verdict:
    """How much a bag gains over a single model.

    What a bag predicts for an example is here the mean of those models that left it out; all of
    them together are better. They are also less certain, so a temperature that was fitted to these
    predictions would not fit theirs: a bag has none.

    Args:
        names: of the members.
        known: all examples, and what members predict for those that they left out.
        single: predictions of the single model, of the validation part.
        measure: what is compared, as `ensemble_selection.example_scores` takes it.
    """
    targets = known.targets
    together = out_of_fold([known.predict(name) for name in names], len(targets))
    last = slice(len(targets) - len(single), None)
    compared = together[last], single
    scores = [ensemble_selection.example_scores(each, targets[last], measure) for each in compared]
    losses = [-ensemble_selection.losses(each, targets[last]) for each in compared]
    gain, loss_gain = comparison.difference(*scores), comparison.difference(*losses)
    return Verdict(gain, loss_gain, together)


def part_missed(members: int, repeats: int) -> float:
    """Part of what the mean of a first repeat gains over one of its models, that `judge` misses: an
    example is judged by one model of each repeat, and all together are asked later.

    The variance of a mean falls with the number of models.

    Example:
        >>> part_missed(5, 1), round(part_missed(10, 2), 3)
        (1.0, 0.5)
    """
    return (1 / repeats - 1 / members) / (1 - 1 / FOLDS)


def part_of_twice(members: int) -> float:
    """Part of what the mean of a first repeat gains over one of its models, that twice as many
    members gain more.

    Example:
        >>> round(part_of_twice(20), 3)
        0.031
    """
    return (1 / members - 1 / (2 * members)) / (1 - 1 / FOLDS)


def _has_failed(outcome: Outcome) -> bool:
    """Whether a training ended without being as good as whole."""
    is_whole = not outcome.out_of_time or outcome.steps >= WHOLE * outcome.spec.recipe.total_steps
    is_sound = outcome.diverged_at is None and outcome.example_scores is not None
    return full_training.has_ended(outcome) and not (is_sound and is_whole)


def _is_member(outcome: Outcome) -> bool:
    """Whether a training ended with weights, and did not fail."""
    has_ended = full_training.has_ended(outcome)
    return outcome.weights_kept and has_ended and not _has_failed(outcome)
