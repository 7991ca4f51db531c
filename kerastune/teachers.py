"""What a teacher from a file needs: a student that takes the same raw inputs, with its preparation inside (S4.4)."""

from __future__ import annotations

import dataclasses
import os

import keras
import keras_tuner

from kerastune.task import Part, Task


class WithPreparation(keras_tuner.HyperModel):
    """A hypermodel whose models prepare raw inputs themselves, as those that a search saves.

    Args:
        inner: of models that take prepared inputs and are not compiled.
        task: whose `attach` prepares.
    """

    def __init__(self, inner, task: Task):
        super().__init__()
        self._inner = inner
        self._attach = task.attach

    def build(self, hp) -> keras.Model:
        model = self._inner.build(hp)
        if model.compiled:
            raise ValueError(
                "a compiled model loses its loss where inputs are prepared for it: leave `standardise` out."
            )
        return self._attach(model)


def load(path: str | os.PathLike) -> keras.Model:
    """The model of a file, for its outputs alone.

    Raises:
        ValueError: when it is not a model that Keras loads.
    """
    try:
        return keras.models.load_model(path, compile=False)
    except (OSError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"`teacher` ({path}) can't be loaded: {str(error).splitlines()[0]}") from error


def of_raw_inputs(task: Task, raw: Task, hypermodel):
    """The same task and hypermodel with inputs as they were before preparation, which a teacher takes.

    Args:
        task: prepared for the hypermodel.
        raw: the same data, split by the same seed, not prepared.
        hypermodel: of models that take what `task` has.

    Returns:
        A task and a hypermodel; those that were given where nothing is prepared.

    Raises:
        ValueError: for a task that is not one of classes.
    """
    if task.kind != "classification":
        raise ValueError("`teacher` teaches classes; there is none to learn from in a regression.")
    if task.attach is None:
        return task, hypermodel
    parts = {name: _with_inputs(getattr(task, name), getattr(raw, name)) for name in ("train", "validation", "test")}
    return dataclasses.replace(task, attach=None, **parts), WithPreparation(hypermodel, task)


def _with_inputs(part: Part | None, raw: Part | None) -> Part | None:
    return None if part is None else dataclasses.replace(part, x=raw.x)
