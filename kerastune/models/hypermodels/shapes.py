"""What a hypermodel reads off a problem: the shape of an example, outputs, training examples."""

from __future__ import annotations

from typing import Any

import numpy as np

from kerastune.data.encoding.texts import Texts
from kerastune.data.tabular import Table
from kerastune.models.hypermodels.embeddings import Columns
from kerastune.problem import Problem

FEW_VALUES = 9  # a column with no more of them is taken for a category
MOST_NUMBERS = 100  # columns: more of them are no table, but pixels or counts of words
LOOKED_AT = 10_000  # examples
MOST_BINS, FEWEST_BINS = 48, 10  # of a column
FEWEST_EXAMPLES, EXAMPLES_PER_BIN = 2000, 10  # that bins need
LARGEST = 1e18  # number that has bins: the squares of larger ones are none in float32


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
    x = _examples(problem)
    if not isinstance(x, np.ndarray) or x.ndim != 2 or x.dtype.kind != "f":
        return ()
    found = [index for index in range(x.shape[1]) if len(np.unique(x[:, index])) > FEW_VALUES]
    return tuple(found) if len(found) <= MOST_NUMBERS else ()


def bin_edges(problem: Problem, columns: tuple[int, ...]) -> tuple[tuple[float, ...], ...]:
    """Edges of bins of these columns with about as many examples in each, for `piecewise`.

    None of few examples, or few for so many columns, where the network would memorize them
    (`runs/README.md`, "Tables", has what bins gain). Of a stream, which may have any number, the
    edges are those of the validation part.

    Example:
        >>> from kerastune.problem import Part
        >>> x = np.arange(8000, dtype="float32").reshape(4000, 2)
        >>> part = Part(x, np.arange(4000.0))
        >>> [len(each) for each in bin_edges(Problem("toy", "regression", part, part), (0, 1))]
        [49, 49]
    """
    count = num_examples(problem) or MOST_BINS * EXAMPLES_PER_BIN * len(columns)
    if not columns or count < FEWEST_EXAMPLES:
        return ()
    bins = min(MOST_BINS, count // (EXAMPLES_PER_BIN * len(columns)))
    x = _examples(problem)[:, list(columns)]
    if bins < FEWEST_BINS or not (np.abs(x) < LARGEST).all():
        return ()
    edges = np.quantile(x, np.linspace(0, 1, bins + 1), axis=0)
    return tuple(tuple(np.unique(column).tolist()) for column in edges.T)


def _examples(problem: Problem) -> Any:
    """Inputs of examples from everywhere in a part that is there as arrays: the training part, if
    it is no stream.
    """
    part = problem.validation if problem.train is None else problem.train
    return part.x[:: -(-len(part) // LOOKED_AT)] if isinstance(part.x, np.ndarray) else part.x
