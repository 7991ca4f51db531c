"""What targets mean, and seeded cuts that keep the proportions of the classes."""

from __future__ import annotations

import dataclasses

import numpy as np

from kerastune.data.checks import shorten

FRACTION = 0.15  # of the part that is cut
LARGEST_CUT = 5000  # examples: beyond, evaluating costs more than the smaller noise is worth
SMALLEST_WHOLE = 10  # examples: below, a cut would leave a part nearly empty
# Distinct whole numbers that are taken for classes without further evidence.
MOST_INTEGER_CLASSES = 20
SIGNS = (-1, 1)  # labels of two classes


def cut(
    num_examples: int, seed: list[int], classes: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Cuts `FRACTION` of the examples off, at most `LARGEST_CUT`, the same for the same seed.

    Every class keeps its share, up to rounding by the largest remainder, and at least one example
    stays behind.

    Args:
        num_examples: how many there are, at least `SMALLEST_WHOLE`.
        seed: numbers of at least 0; a different list gives an independent cut.
        classes: integer classes `[n]` to stratify by; `None` for a plain random cut.

    Returns:
        Indices that stay and indices that are cut off, each ascending.

    Raises:
        ValueError: if there are too few examples to cut.

    Example:
        >>> stay, off = cut(40, [1], np.repeat([0, 1], 20))
        >>> len(stay), (off < 20).sum(), (off >= 20).sum()
        (34, np.int64(3), np.int64(3))
    """
    if num_examples < SMALLEST_WHOLE:
        raise ValueError(
            f"The training part has {num_examples} examples, too few to split a part off (at "
            f"least {SMALLEST_WHOLE}); give the validation and test parts yourself."
        )
    if classes is None:
        classes = np.zeros(num_examples, np.int64)
    order = np.random.default_rng(seed).permutation(num_examples)
    quota = quotas(np.bincount(classes), min(round(FRACTION * num_examples), LARGEST_CUT))
    off = np.concatenate(
        [order[classes[order] == label][:count] for label, count in enumerate(quota)]
    )
    stay = np.ones(num_examples, bool)
    stay[off] = False
    return np.flatnonzero(stay), np.sort(off)


def cut_end(num_examples: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Cuts about `FRACTION` of the examples off at the end, as whole batches, at least one.

    Returns:
        Indices that stay and indices that are cut off.

    Raises:
        ValueError: if less than one batch would be left.

    Example:
        >>> stay, off = cut_end(100, 8)
        >>> len(stay), off.tolist() == list(range(84, 100))
        (84, True)
    """
    count = max(round(FRACTION * num_examples / batch_size), 1) * batch_size
    if num_examples - count < batch_size:
        raise ValueError(
            f"The training part has {num_examples} examples, too few to split a part off in "
            f"batches of {batch_size}; give the validation and test parts yourself."
        )
    return np.arange(num_examples - count), np.arange(num_examples - count, num_examples)


def quotas(counts: np.ndarray, size: int) -> np.ndarray:
    """How many of each class make up a cut of `size`, by largest remainder.

    Each class keeps at least one.

    Example:
        >>> quotas(np.array([70, 29, 1]), 10).tolist()
        [7, 3, 0]
    """
    shares = counts * size / counts.sum()
    quota = np.floor(shares).astype(np.int64)
    largest_first = np.argsort(quota - shares, kind="stable")
    quota[largest_first[: size - quota.sum()]] += 1
    return np.minimum(quota, np.maximum(counts - 1, 0))


def infer_kind(y: np.ndarray) -> str:
    """Tells classification from regression by the training targets.

    * Booleans, texts and one-hot rows are classes.
    * Integers are classes if they run from 0 without a gap, or if there are at most 20 different
    ones.
    * Floats are classes only if they are exactly 0, 1, ..., k - 1 with k at most 20.
    * Everything else is regression. An explicit kind always wins over this rule.

    Args:
        y: targets `[n]`, `[n, 1]`, one-hot `[n, classes]` or numbers `[n, outputs]`.

    Returns:
        `"classification"` or `"regression"`.

    Raises:
        ValueError: for rows of 0 and 1 that are not one-hot (several labels per example).

    Example:
        >>> (
        ...     infer_kind(np.array([3, 5, 3])),
        ...     infer_kind(np.array([1.0, 2.0])),
        ...     infer_kind(np.array([0.0, 1.0])),
        ... )
        ('classification', 'regression', 'classification')
    """
    if y.dtype.kind in "bU" or is_one_hot(y):
        return "classification"
    if y.ndim == 2 and y.shape[1] > 1:
        if np.isin(y, (0, 1)).all():
            raise ValueError(
                "`y` has rows of 0 and 1 that are not one-hot; several labels per example are not "
                "supported: give one class per example, or say that the kind is regression."
            )
        return "regression"
    values = np.unique(y)
    counts_from_0 = np.array_equal(values, np.arange(len(values)))
    few = len(values) <= MOST_INTEGER_CLASSES
    is_classes = (counts_from_0 and few) if y.dtype.kind == "f" else (counts_from_0 or few)
    return "classification" if is_classes else "regression"


def is_one_hot(y: np.ndarray) -> bool:
    """Whether `y` is `[n, classes]` with exactly one 1 in every row and 0 elsewhere."""
    if y.ndim != 2 or y.shape[1] < 2 or y.dtype.kind not in "biuf":
        return False
    return bool(((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all())


@dataclasses.dataclass(frozen=True)
class Classes:
    """The classes of a problem: the labels as the user wrote them, and a name for each.

    Args:
        values: distinct labels `[classes]`, ascending.
        names: their names, in the same order.

    Example:
        >>> classes = find_classes(np.array(["no", "yes", "no"]))
        >>> classes.names, classes.encode(np.array(["yes"]), "test").tolist()
        (('no', 'yes'), [1])
    """

    values: np.ndarray
    names: tuple[str, ...]

    def encode(self, y: np.ndarray, where: str) -> np.ndarray:
        """Integer classes `[n]` of the targets of a part.

        Raises `ValueError` for a label that does not exist.
        """
        if y.ndim == 2 and y.shape[1] > 1:
            if not is_one_hot(y) or y.shape[1] != len(self.names):
                raise ValueError(
                    f"`y` of the {where} part {y.shape} is not one-hot for {len(self.names)} "
                    "classes."
                )
            return y.argmax(axis=1).astype(np.int32)
        y = y.reshape(len(y))
        if (y.dtype.kind == "U") != (self.values.dtype.kind == "U"):
            raise ValueError(
                f"`y` of the {where} part has dtype {y.dtype}, that of the training part is "
                "different."
            )
        places = np.searchsorted(self.values, y).clip(0, len(self.values) - 1)
        strangers = np.unique(y[self.values[places] != y])
        if len(strangers):
            raise ValueError(
                f"`y` of the {where} part has labels that are no class of the training part: "
                f"{shorten(strangers.tolist())}; the classes are {shorten(list(self.names))}."
            )
        return places.astype(np.int32)

    @property
    def is_numbered(self) -> bool:
        """Whether the labels are the integer classes already."""
        return self.values.dtype.kind in "iuf" and np.array_equal(
            self.values, np.arange(len(self.values))
        )


def find_classes(y: np.ndarray, names: tuple[str, ...] = (), width: int | None = None) -> Classes:
    """Finds the classes in the targets of the training part.

    Labels that do not run from 0 on are renumbered.

    Labels that start at 0 and have fewer gaps than classes are class numbers with a class missing:
    refused.

    Args:
        y: training targets: texts, booleans or whole numbers `[n]` or `[n, 1]`, or one-hot `[n,
            classes]`.
        names: names of the classes 0, 1, ..., where the source knows them.
        width: outputs of the user's model, one per class; labels below it are class numbers, with
            or without gaps. 1 or `None` for a model that does not tell.

    Raises:
        ValueError: for negative or fractional labels, for a missing class, and for more classes
            than outputs.

    Example:
        >>> find_classes(np.array([10, 30, 10])).names
        ('10', '30')
    """
    if names or is_one_hot(y):
        values = np.arange(len(names) or y.shape[1])
        return Classes(values, names or tuple(str(value) for value in values))
    if y.ndim == 2 and y.shape[1] > 1:
        raise ValueError(
            f"`y` {y.shape} is not one-hot; give one class per example, or rows with a single 1."
        )
    values = np.unique(y)
    width = width if (width or 0) > 1 else 0
    if width and len(values) > width:
        raise ValueError(
            f"`y` of the training part has {len(values)} classes, but the model {width} outputs; "
            "give it one output per class."
        )
    if width and values.dtype.kind in "iuf" and np.isin(values, np.arange(width)).all():
        values = np.arange(width)
    elif values.dtype.kind in "iuf":
        values = _whole_numbers(values)
    spare = tuple(f"output {place}" for place in range(len(values), width))
    return Classes(values, (*(str(value) for value in values.tolist()), *spare))


def _whole_numbers(values: np.ndarray) -> np.ndarray:
    """The distinct labels as integers; refuses fractions, negative labels and a missing class."""
    if (values != np.floor(values)).any():
        raise ValueError(
            f"Class labels must be whole numbers, got {values[values != np.floor(values)][0]}."
        )
    values = values.astype(np.int64)
    if np.array_equal(values, SIGNS):
        return values
    if values[0] < 0:
        raise ValueError(
            f"`y` has the label {values[0]}; labels are at least 0: number the classes from 0 on."
        )
    num_gaps = int(values[-1]) + 1 - len(values)
    if values[0] == 0 and 0 < num_gaps < len(values):
        gaps = np.setdiff1d(np.arange(values[-1]), values)
        raise ValueError(
            f"The labels run from 0 to {values[-1]}, but {shorten(gaps.tolist())} have no example "
            "in the training part; add examples, or number only the classes that occur."
        )
    return values
