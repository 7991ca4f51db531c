"""The true loss and accuracy of every step in TensorBoard."""

from __future__ import annotations

import numpy as np

from kerastune.analysis import metrics
from kerastune.callbacks.recording_callback import RecordingCallback
from kerastune.problem import is_imbalanced
from kerastune.training.step_recorder import Chunk, StepRecorder


class StepLogger(RecordingCallback):
    """Writes the true loss and accuracy of every step to TensorBoard (P1).

    Keras's own per-batch values are running means since the epoch began; these are the step's own.
    `step/<name>` is written for the loss and every compiled metric that is a mean,
    `validation/<name>` after every evaluation. When the classes seen since the last evaluation are
    imbalanced (largest at least 3x the smallest), `macro_f1` over that interval is written too. The
    user's `logs` stay what they were.

    Args:
        log_dir: directory of the TensorBoard run.
        num_classes: classes of the confusion matrix behind macro-F1; the default takes them from
            the model's output when it is trained with a cross-entropy, and 0 turns macro-F1 off.

    Example:
        >>> model.fit(x, y, callbacks=[StepLogger("logs/run-1")])  # doctest: +SKIP
    """

    def __init__(self, log_dir: str, num_classes: int | None = None):
        super().__init__(log_dir)
        self.num_classes = num_classes

    def make_recorder(self, capacity: int) -> StepRecorder:
        loss = self.model.loss
        num_classes = _num_classes(self.model) if self.num_classes is None else self.num_classes
        self._confusion = np.zeros([num_classes, num_classes])
        threshold = (
            0.0 if getattr(loss, "from_logits", False) or _option(loss, "from_logits") else 0.5
        )
        return StepRecorder(self.model, capacity, num_classes=num_classes, threshold=threshold)

    def write(self, start: int, chunk: Chunk) -> None:
        self.board.curves(start, {f"step/{name}": values for name, values in chunk.values.items()})
        if chunk.confusion is not None:
            self._confusion += chunk.confusion

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        values = {
            name[4:]: value for name, value in (logs or {}).items() if name.startswith("val_")
        }
        scalars = {
            f"validation/{name}": value for name, value in values.items() if np.ndim(value) == 0
        }
        if is_imbalanced(self._confusion.sum(axis=1)):
            scalars["step/macro_f1"] = metrics.macro_f1_of_confusion(self._confusion)
        self._confusion[:] = 0
        if scalars:
            self.board.scalars(self.step, scalars)


def _num_classes(model) -> int:
    """Classes of a single-output model that is trained with a cross-entropy.

    0 for any other, or several labels.
    """
    name = (
        getattr(model.loss, "name", None)
        or getattr(model.loss, "__name__", None)
        or str(model.loss)
    )
    name = name.lower().replace("_", "")
    shape = getattr(model, "output_shape", None)
    is_one_row = isinstance(shape, tuple) and len(shape) == 2 and isinstance(shape[-1], int)
    if "crossentropy" not in name or not is_one_row:
        return 0
    if "binary" in name:
        return 2 if shape[-1] == 1 else 0
    return shape[-1]


def _option(loss, name: str):
    """An option of a Keras loss object, which keeps the options of its function in a dict."""
    return getattr(loss, "_fn_kwargs", {}).get(name)
