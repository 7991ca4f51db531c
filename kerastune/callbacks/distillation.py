"""A teacher for the model in training."""

from __future__ import annotations

import copy
import os
from typing import Any

import keras

from kerastune.models import saved_models
from kerastune.models.step_wrapper import install_for_one_fit, uninstall_after_fit
from kerastune.training import distillation


class Distillation(keras.callbacks.Callback):
    """Lets a trained classifier teach the model of this `fit` (S4.4).

    The model keeps its own loss, metrics and form.

    Besides its targets, the student is shown how probable the teacher takes every class to be,
    softened by a temperature (Hinton, Vinyals and Dean 2015, arXiv:1503.02531). `loss` in the logs
    is that of what is learnt; `val_loss` is the student's own. Both models may give logits or
    probabilities. Sample and class weights, and the student's regularizers, do what they did. When
    `fit` ends the model is what it was: what is saved holds no teacher.

    The teacher is asked at every step: it costs one of its predictions a step.

    Args:
        teacher: a built classifier of the student's inputs and classes, for example an ensemble, or
            a path that `keras.models.load_model` reads.
        temperature: `> 0`; above 1, what the teacher takes for improbable counts more.
        mix: share of the teacher in the loss, in `[0, 1]`; with 1 no target is looked at.
        sample: a few inputs `[batch, ...]`; needed where a model's end and loss do not tell whether
            it gives logits.

    Raises:
        ValueError: for a number out of range; in `fit`, for models of different classes, one that
            does not tell whether it gives logits, or a `train_step` that calls no `compute_loss`.

    Example:
        >>> taught = Distillation("ensemble.keras", temperature=4)  # doctest: +SKIP
        >>> student.fit(x, y, epochs=5, callbacks=[taught])  # doctest: +SKIP
    """

    def __init__(
        self,
        teacher: keras.Model | str | os.PathLike,
        temperature: float = 2.0,
        mix: float = 0.5,
        sample: Any = None,
    ):
        super().__init__()
        distillation.check(temperature, mix)
        self.teacher = saved_models.loaded(teacher)
        self.temperature, self.mix, self.sample = temperature, mix, sample

    def __getstate__(self):
        # The variables of the last `fit` can't be copied; an exception leaves them here, and the
        # model always.
        return {
            **{name: value for name, value in vars(self).items() if name != "_teaching"},
            "_model": None,
        }

    def __deepcopy__(self, memo):
        return copy.copy(self)  # a teacher does not change, so copies share it

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._teaching = distillation.Teaching(
            self.model, self.teacher, self.temperature, self.mix, self.sample
        )
        install_for_one_fit(self._teaching)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        uninstall_after_fit(self._teaching)
        del self._teaching
