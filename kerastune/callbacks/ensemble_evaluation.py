"""How well the model in training does together with others."""

from __future__ import annotations

import collections
import os
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from kerastune.callbacks.evaluation_callback import EvaluationCallback
from kerastune.models import output_kind, saved_models
from kerastune.models.output_kind import OutputKind


class EnsembleEvaluation(EvaluationCallback):
    """Evaluates the model in training averaged with others, as an ensemble of equal weights (S4.5).

    Logs `val_ensemble_accuracy` (`val_ensemble_mse` for a regression) at the ends of epochs, to
    watch whether a model that is no better alone is still of use to the others. Probabilities are
    averaged: those that give logits go through a softmax, or a sigmoid, first. The others are asked
    once, when training begins, and not kept.

    Args:
        models: the others: built Keras models of the same inputs, or paths that
            `keras.models.load_model` reads.
        validation_data: `(x, y)`, arrays or dicts of arrays, or a `tf.data.Dataset` of such
            batches, which is read into memory. Targets are integer classes, one-hot rows, 0 and 1,
            or numbers.
        snapshots: earlier evaluations of the model in training that count as members too, the last
            so many; `>= 0`.
        metric: a function of `y` and the averaged outputs that gives a number, in the place of
            accuracy.
        log_dir: directory of a TensorBoard run that gets `validation/ensemble_accuracy`, or `None`.
        every_epochs: epochs between two evaluations, `>= 1`.
        kind: `"classification"` or `"regression"`, where neither the model's end nor its loss
            tells.

    Raises:
        ValueError: for a number out of range; in `fit`, when `kind` is needed and missing, or
            outputs differ in shape.

    Example:
        >>> together = EnsembleEvaluation(
        ...     ["a.keras", "b.keras"], (x_val, y_val), log_dir="logs"
        ... )  # doctest: +SKIP
        >>> model.fit(x, y, epochs=5, callbacks=[together]).history[
        ...     "val_ensemble_accuracy"
        ... ]  # doctest: +SKIP
    """

    title = "ensemble"

    def __init__(
        self,
        models: Sequence[keras.Model | str | os.PathLike],
        validation_data: Any,
        snapshots: int = 0,
        metric: Callable[[np.ndarray, np.ndarray], float] | None = None,
        log_dir: str | None = None,
        every_epochs: int = 1,
        kind: str | None = None,
    ):
        super().__init__(validation_data, metric, log_dir, every_epochs, kind)
        if snapshots < 0:
            raise ValueError(f"`snapshots` must be >= 0, got {snapshots}.")
        self.models = list(models)
        self.snapshots = snapshots

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        super().on_train_begin(logs)
        others = map(saved_models.loaded, self.models)
        self._others = [self._outputs(other, self.outputs_of(other)) for other in others]
        self._earlier = collections.deque(maxlen=self.snapshots)

    def averaged(self, x: Any) -> np.ndarray:
        own = self._outputs(self.model, self._known)
        members = [*self._others, *self._earlier, own]
        if len({each.shape for each in members}) > 1:
            raise ValueError(
                f"the models' outputs differ in shape: {[each.shape for each in members]}."
            )
        self._earlier.append(own)
        return np.mean(members, axis=0)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        super().on_train_end(logs)
        self._others, self._earlier = [], collections.deque()

    def _outputs(self, model: keras.Model, known: OutputKind) -> np.ndarray:
        return known.averageable(output_kind.predict(model, self._x))
