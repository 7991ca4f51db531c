"""What a hypermodel reads off a problem: the shape of an example, outputs, training examples."""

from __future__ import annotations

import numpy as np

from kerastune.problem import Problem


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
