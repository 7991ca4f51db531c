"""A teacher from a file, and a student that takes the same raw inputs (S4.4)."""

from __future__ import annotations

import dataclasses
import os

import keras
import keras_tuner

from kerastune.models import saved_models
from kerastune.problem import Part, Problem


class WithPreparation(keras_tuner.HyperModel):
    """A hypermodel whose models prepare raw inputs themselves, as those that a search saves.

    Args:
        inner: of models that take prepared inputs and are not compiled.
        problem: whose `attach` prepares.
    """

    def __init__(self, inner: keras_tuner.HyperModel, problem: Problem):
        super().__init__()
        self._inner = inner
        self._attach = problem.attach

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        model = self._inner.build(hp)
        if model.compiled:
            raise ValueError("`standardize` is not possible with a compiled model: leave it out.")
        return self._attach(model)


def load(path: str | os.PathLike) -> keras.Model:
    """The model of a file, for its outputs alone.

    Raises:
        ValueError: when it is not a model that Keras loads.
    """
    try:
        return saved_models.loaded(path, compiled=False)
    except (OSError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(
            f"`teacher` ({path}) can't be loaded: {str(error).splitlines()[0]}"
        ) from error


def of_raw_inputs(
    problem: Problem, raw: Problem, hypermodel: keras_tuner.HyperModel
) -> tuple[Problem, keras_tuner.HyperModel]:
    """The same problem and hypermodel with inputs as they were before preparation.

    These are what a teacher takes.

    Args:
        problem: prepared for the hypermodel.
        raw: the same data, split by the same seed, not prepared.
        hypermodel: of models that take what `problem` has.

    Returns:
        A problem and a hypermodel; those that were given where nothing is prepared.

    Raises:
        ValueError: for a problem that is not one of classes.
    """
    if problem.kind != "classification":
        raise ValueError(
            "`teacher` must be a classifier; distillation of a regression is not supported."
        )
    if problem.attach is None:
        return problem, hypermodel
    parts = {
        name: _with_inputs(getattr(problem, name), getattr(raw, name))
        for name in ("train", "validation", "test")
    }
    return dataclasses.replace(problem, attach=None, **parts), WithPreparation(hypermodel, problem)


def _with_inputs(part: Part | None, raw: Part | None) -> Part | None:
    return None if part is None else dataclasses.replace(part, x=raw.x)
