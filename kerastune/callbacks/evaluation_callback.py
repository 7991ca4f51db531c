"""What the callbacks have in common that evaluate more than the model in training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerastune.models import output_kind
from kerastune.problem import labels
from kerastune.runtime.tensorboard_writer import Board
from kerastune.training.optimizers import steps_done

OF_ONE_FIT = ("board", "_x", "_y", "_known")


class EvaluationCallback(keras.callbacks.Callback):
    """Evaluates averaged outputs at the ends of epochs.

    The value is logged as `val_<title>_<metric>`.

    The logs get one new name; those that are there keep their values. It can be monitored by
    callbacks that stand after this one. Nothing of the model is changed.

    Args:
        validation_data: `(x, y)`, arrays or dicts of arrays, or a `tf.data.Dataset` of such
            batches, which is read into memory. Targets are integer classes, one-hot rows, 0 and 1,
            or numbers.
        metric: a function of `y` and the averaged outputs (probabilities, or numbers) that gives a
            number; its own name goes into the logs. By default accuracy, or the mean squared error
            (`mse`) of a regression.
        log_dir: directory of a TensorBoard run that the value is written to as well, or `None`.
        every_epochs: epochs between two evaluations, `>= 1`.
        kind: `"classification"` or `"regression"`, where neither the model's end nor its loss
            tells.

    Raises:
        ValueError: when `every_epochs` is below 1, or in `fit`, when `kind` is needed and missing.
    """

    title: str

    def __init__(
        self,
        validation_data: Any,
        metric: Callable[[np.ndarray, np.ndarray], float] | None = None,
        log_dir: str | None = None,
        every_epochs: int = 1,
        kind: str | None = None,
    ):
        super().__init__()
        if every_epochs < 1:
            raise ValueError(f"`every_epochs` must be >= 1, got {every_epochs}.")
        self.validation_data = validation_data
        self.metric = metric
        self.log_dir = log_dir
        self.every_epochs = every_epochs
        self.kind = kind

    def averaged(self, x: Any) -> np.ndarray:
        """What is evaluated, at the end of an epoch: probabilities or numbers `[n, outputs]`."""
        raise NotImplementedError

    def on_train_begin(self, logs=None):
        self._x, self._y = _arrays(self.validation_data)
        self._known: output_kind.OutputKind | None = None
        self.board = Board(self.log_dir) if self.log_dir is not None else None

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every_epochs:
            return
        if self._known is None:
            self._known = self.outputs_of(self.model)
        metric = self.metric
        if metric is None:
            metric = _mean_squared_error if self._known.kind == "regression" else _accuracy
        value = float(metric(self._y, self.averaged(self._x)))
        name = f"{self.title}_{_NAMES.get(metric) or metric.__name__}"
        if logs is not None:
            logs[f"val_{name}"] = value
        if self.board is not None:
            self.board.scalars(
                int(steps_done(self.model.optimizer).numpy()), {f"validation/{name}": value}
            )
            self.board.flush()

    def on_train_end(self, logs=None):
        if self.board is not None:
            self.board.close()
        for name in OF_ONE_FIT:
            del vars(self)[name]

    def outputs_of(self, model: keras.Model) -> output_kind.OutputKind:
        """What the outputs of a model mean; its kind is that of the model in training."""
        kind = self.kind or output_kind.kind_of(self.model)
        return output_kind.of(model, output_kind.first_examples(self._x), kind)

    def __getstate__(self):
        # Open files can't be copied; an exception during `fit` leaves them here, and the model
        # always.
        return {name: value for name, value in vars(self).items() if name not in OF_ONE_FIT} | {
            "_model": None
        }


def _accuracy(y: np.ndarray, outputs: np.ndarray) -> float:
    return float(np.mean(output_kind.predicted_classes(outputs, logits=False) == labels(y)))


def _mean_squared_error(y: np.ndarray, outputs: np.ndarray) -> float:
    return float(np.mean((np.reshape(y, outputs.shape) - outputs) ** 2))


_NAMES = {_accuracy: "accuracy", _mean_squared_error: "mse"}


def _arrays(validation_data: Any) -> tuple[Any, np.ndarray]:
    if isinstance(validation_data, tf.data.Dataset):
        batches = [batch[:2] for batch in validation_data.as_numpy_iterator()]
        validation_data = keras.tree.map_structure(lambda *parts: np.concatenate(parts), *batches)
    x, y = validation_data[:2]
    return keras.tree.map_structure(np.asarray, x), np.asarray(y)
