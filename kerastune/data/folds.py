"""k-fold cross-validation as rules on arrays: how examples are cut (S4.6)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from kerastune.problem import Problem, joined, labels


@dataclasses.dataclass(frozen=True)
class Fold:
    """One cut of the examples in two.

    Args:
        name: `"fold-2"`, or `"repeat-1-fold-2"` where there are several repeats.
        repeat: from 1.
        number: within the repeat, from 1.
        train: indices of the examples that are trained on, ascending.
        held_out: indices of others, ascending; over the folds of a repeat every example is held
            out once, but for the earliest of folds by time.
    """

    name: str
    repeat: int
    number: int
    train: np.ndarray
    held_out: np.ndarray


def cut(
    num_examples: int,
    folds: int,
    repeats: int = 1,
    seed: int = 1,
    classes: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    times: np.ndarray | None = None,
) -> list[Fold]:
    """Cuts examples into folds, several times over if asked; the same for the same seed.

    Classes keep their shares in every fold, and a group stays whole, through scikit-learn's
    `KFold`, `StratifiedKFold` and `StratifiedGroupKFold` (without classes all examples are of one,
    so that the folds of whole groups are about equally large: `GroupKFold` could not be repeated,
    since it always puts the largest groups into the same folds).

    Args:
        num_examples: how many there are.
        folds: parts of one repeat, at least 2.
        repeats: of the whole cut, each shuffled anew, at least 1.
        seed: at least 0.
        classes: integer classes `[n]` to stratify by; `None` for numbers to be predicted.
        groups: numbers or texts `[n]`; examples with the same one are never on both sides of a cut.
        times: `[n]`; each fold then holds out what follows the examples that it is trained on, and
            the earliest are never held out.

    Raises:
        ValueError: in one line, for folds that such examples can't be cut into.

    Example:
        >>> found = cut(6, 3, classes=np.array([0, 0, 0, 1, 1, 1]))
        >>> (
        ...     [len(fold.held_out) for fold in found],
        ...     sorted(np.concatenate([fold.held_out for fold in found]).tolist()),
        ... )
        ([2, 2, 2], [0, 1, 2, 3, 4, 5])
    """
    _check(num_examples, folds, repeats, classes, groups)
    if times is not None:
        found = _in_time(times, folds, repeats)
        _check_sides(found, classes)
        return found
    found = []
    for repeat in range(1, repeats + 1):
        state = int(np.random.SeedSequence([seed, repeat]).generate_state(1)[0])
        for number, (train, held_out) in enumerate(
            _splits(num_examples, folds, state, classes, groups), start=1
        ):
            name = f"fold-{number}" if repeats == 1 else f"repeat-{repeat}-fold-{number}"
            found.append(Fold(name, repeat, number, np.sort(train), np.sort(held_out)))
    _check_sides(found, classes)
    return found


def _in_time(times: np.ndarray, folds: int, repeats: int) -> list[Fold]:
    """The examples of as many blocks of time as there are folds, and one before them.

    A block is held out by a model of all that is before it; the same time is in one block.
    """
    if repeats > 1:
        raise ValueError(f"`repeats` must be 1 with `time`, got {repeats}: there is one cut only.")
    ends = np.sort(times)[[len(times) * k // (folds + 1) for k in range(1, folds + 1)]]
    block = np.searchsorted(ends, times, side="right")
    if len(np.unique(block)) <= folds:
        raise ValueError(
            f"`folds` ({folds}) is more than {len(np.unique(times))} different times can be cut "
            "into; choose fewer."
        )
    return [
        Fold(f"fold-{k}", 1, k, np.flatnonzero(block < k), np.flatnonzero(block == k))
        for k in range(1, folds + 1)
    ]


def training_rows(problem: Problem, count: int, left_out: int) -> np.ndarray:
    """Indices of the training examples outside one fold, ascending, int32 `[n]`.

    The cut is the same at every call.

    Args:
        problem: the prepared data; every fold has its share of every class.
        count: of the folds, at least 2.
        left_out: number of the fold, 1 to `count`.

    Raises:
        ValueError: for a stream, and for folds that the examples can't be cut into.

    Example:
        >>> from kerastune.problem import Part
        >>> part = Part(np.zeros([4, 2]), np.array([0, 1, 0, 1]))
        >>> training_rows(
        ...     Problem("toy", "classification", part, part, class_names=("a", "b")), 2, left_out=1
        ... ).shape
        (2,)
    """
    if problem.train is None:
        raise ValueError(
            "`member_folds` must be 0 for a tf.data.Dataset, which can't be split: give arrays."
        )
    try:
        found = cut(
            len(problem.train),
            count,
            classes=labels(problem.train.y) if problem.kind == "classification" else None,
        )
    except ValueError as error:
        raise ValueError(
            f"`member_folds` must be 0 here, or fit the training part; got {count}: {error}"
        ) from error
    return found[left_out - 1].train.astype(np.int32)


def of_all(problem: Problem, count: int, left_out: int, repeat: int) -> Fold:
    """One fold of training and validation part together, one after the other.

    The cut is the same at every call; every fold has its share of every class.

    Args:
        problem: with arrays.
        count: of the folds of a cut, at least 2.
        left_out: number of the fold, 1 to `count`.
        repeat: number of the cut, from 1.

    Raises:
        ValueError: for folds that the examples can't be cut into.

    Example:
        >>> from kerastune.problem import Part
        >>> part = Part(np.zeros([4, 2]), np.array([0, 1, 0, 1]))
        >>> problem = Problem("toy", "classification", part, part, class_names=("a", "b"))
        >>> of_all(problem, 4, left_out=1, repeat=1).held_out.shape
        (2,)
    """
    parts, classes = (problem.train, problem.validation), None
    if problem.kind == "classification":
        classes = np.concatenate([labels(part.y) for part in parts])
    found = cut(sum(map(len, parts)), count, repeat, classes=classes)
    return found[(repeat - 1) * count + left_out - 1]


def problem_of(problem: Problem, count: int, left_out: int, repeat: int) -> Problem:
    """A problem whose validation part is such a fold, as `of_all` cuts it, and whose training part
    is all others.
    """
    fold, both = of_all(problem, count, left_out, repeat), joined(problem.train, problem.validation)
    sides = both.take(fold.train), both.take(fold.held_out)
    # A part without weights has none, so that what was traced still fits.
    train, held_out = (
        side if like.sample_weight is not None else dataclasses.replace(side, sample_weight=None)
        for side, like in zip(sides, (problem.train, problem.validation), strict=True)
    )
    return dataclasses.replace(problem, train=train, validation=held_out)


def _splits(num_examples: int, folds: int, state: int, classes, groups):
    from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold

    rows = np.zeros(num_examples)
    if groups is not None:
        strata = np.zeros(num_examples, np.int64) if classes is None else classes
        return StratifiedGroupKFold(folds, shuffle=True, random_state=state).split(
            rows, strata, groups
        )
    kind = KFold if classes is None else StratifiedKFold
    return kind(folds, shuffle=True, random_state=state).split(rows, classes)


def _check(num_examples: int, folds: int, repeats: int, classes, groups) -> None:
    if folds < 2:
        raise ValueError(
            f"`folds` must be at least 2, got {folds}: one part is held out, the others are "
            "trained on."
        )
    if repeats < 1:
        raise ValueError(f"`repeats` must be at least 1, got {repeats}.")
    if folds > num_examples:
        raise ValueError(
            f"`folds` ({folds}) is more than the examples ({num_examples}); choose at most as many."
        )
    if groups is not None:
        _check_groups(num_examples, folds, groups)
    elif classes is not None:
        counts = np.bincount(classes)
        if folds > (least := counts[counts > 0].min()):
            raise ValueError(
                f"`folds` ({folds}) is more than the smallest class has examples ({least}); choose "
                f"at most {least}, so that every fold has one of every class, or add examples."
            )


def _check_groups(num_examples: int, folds: int, groups: np.ndarray) -> None:
    if groups.shape != (num_examples,):
        raise ValueError(
            f"`groups` has shape {groups.shape}, expected ({num_examples},): one group for every "
            "example."
        )
    missing = (
        np.isnan(groups)
        if groups.dtype.kind == "f"
        else groups == ""
        if groups.dtype.kind == "U"
        else np.False_
    )
    if missing.any():
        raise ValueError(
            f"`groups` is missing for {int(missing.sum())} examples, first in row "
            f"{int(np.argmax(missing))}; give each a group, one of its own where it belongs to "
            "none."
        )
    if (count := len(np.unique(groups))) < folds:
        raise ValueError(
            f"`folds` ({folds}) is more than there are groups ({count}); choose at most {count}."
        )


def _check_sides(folds: Sequence[Fold], classes) -> None:
    """Refuses an empty fold, and a class that is held out as a whole.

    Only whole groups can bring either about.
    """
    for fold in folds:
        if not len(fold.held_out):
            raise ValueError(
                f"{fold.name} would be empty, since groups stay whole; choose fewer `folds`."
            )
        missing = [] if classes is None else np.setdiff1d(classes, classes[fold.train])
        if len(missing):
            raise ValueError(
                f"class {int(missing[0])} (counted from 0) would have no training example in "
                f"{fold.name}, since groups and times stay whole: it must occur in at least two "
                "folds, or early enough; choose fewer `folds` or add examples."
            )
