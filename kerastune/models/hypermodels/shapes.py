"""What a hypermodel reads off a problem: the shape of an example, outputs, training examples."""

from __future__ import annotations

import numpy as np

from kerastune.data.encoding.texts import Texts
from kerastune.data.tabular import Table
from kerastune.models.hypermodels.embeddings import Columns
from kerastune.problem import Part, Problem

FEW_VALUES = 9  # a column with no more of them is taken for a category
MOST_NUMBERS = 100  # columns: more of them are no table, but pixels or counts of words
LOOKED_AT = 10_000  # examples
MOST_BINS, LEAST_BINS = 48, 10  # of a column
# That there are, at least, for bins at all, and for each bin of each column.
EXAMPLES_OF_BINS, EXAMPLES_OF_BIN = 2000, 10


def shape(problem: Problem) -> tuple[int, ...] | dict[str, tuple[int, ...]]:
    # The validation part is always arrays; the training part may be a stream.
    x = problem.validation.x
    if isinstance(x, dict):
        return {name: np.shape(values)[1:] for name, values in x.items()}
    return np.shape(x)[1:]


def num_outputs(problem: Problem) -> int:
    if problem.kind == "classification":
        return problem.num_classes
    shape = np.shape(problem.validation.y)
    return 1 if len(shape) == 1 else shape[1]


def num_examples(problem: Problem) -> int | None:
    if problem.train is not None:
        return len(problem.train)
    size = int(problem.stream.cardinality())
    return size if size > 0 else None  # negative: unknown or infinite


def texts(problem: Problem) -> Texts | None:
    """The column of texts that the inputs are; `None` where they are something else.

    Example:
        >>> from kerastune.problem import Part
        >>> part = Part(np.zeros([4, 2]), np.arange(4.0))
        >>> texts(Problem("toy", "regression", part, part)) is None
        True
    """
    preparation = getattr(problem.attach, "preparation", None)
    return preparation if isinstance(preparation, Texts) else None


def columns(problem: Problem) -> Columns:
    """What a network embeds of the inputs: numbers, columns of many categories, texts."""
    preparation, numbers = getattr(problem.attach, "preparation", None), columns_of_numbers(problem)
    if isinstance(preparation, Texts):
        return Columns(largest_id=preparation.largest_id)
    edges = bin_edges(problem, numbers)
    if not isinstance(preparation, Table):
        return Columns(numbers, edges)
    parts = preparation.parts
    categories = (parts[name] for name in preparation.texts)
    many = tuple((begin, end) for begin, end in categories if end - begin > FEW_VALUES)
    return Columns(numbers, edges, many, tuple(parts[name] for name in preparation.words))


def columns_of_numbers(problem: Problem) -> tuple[int, ...]:
    """Indices of the columns of a table that hold numbers, and not categories or flags.

    None for inputs that are no table `[n, columns]` of floats, or have too many such columns.

    Example:
        >>> from kerastune.problem import Part
        >>> x = np.stack([np.arange(20) % 2, np.arange(20)], axis=1).astype("float32")
        >>> part = Part(x, np.arange(20.0))
        >>> columns_of_numbers(Problem("toy", "regression", part, part))
        (1,)
    """
    x = _known(problem).x
    if not isinstance(x, np.ndarray) or x.ndim != 2 or x.dtype.kind != "f":
        return ()
    x = x[:LOOKED_AT]
    found = [index for index in range(x.shape[1]) if len(np.unique(x[:, index])) > FEW_VALUES]
    return tuple(found) if len(found) <= MOST_NUMBERS else ()


def bin_edges(problem: Problem, columns: tuple[int, ...]) -> tuple[tuple[float, ...], ...]:
    """Edges of bins of these columns with about as many examples in each, for `piecewise`.

    None of few examples, or few for so many columns, where the network would learn single examples
    by heart. What they gain on recorded tables is told by `runs/benchmark_tables.py`.

    Example:
        >>> from kerastune.problem import Part
        >>> x = np.arange(8000, dtype="float32").reshape(4000, 2)
        >>> part = Part(x, np.arange(4000.0))
        >>> [len(each) for each in bin_edges(Problem("toy", "regression", part, part), (0, 1))]
        [49, 49]
    """
    part = _known(problem)
    bins = min(MOST_BINS, len(part) // (EXAMPLES_OF_BIN * max(len(columns), 1)))
    if bins < LEAST_BINS or len(part) < EXAMPLES_OF_BINS:
        return ()
    places = np.linspace(0, 1, bins + 1)
    return tuple(
        tuple(np.unique(np.quantile(part.x[:LOOKED_AT, column], places)).tolist())
        for column in columns
    )


def _known(problem: Problem) -> Part:
    """A part that is there as arrays: the training part, if it is no stream."""
    return problem.validation if problem.train is None else problem.train
