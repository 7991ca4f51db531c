"""The update ratio in TensorBoard, and the learning rate that it suggests."""

from __future__ import annotations

import numpy as np

from kerastune.analysis import learning_rate_probe
from kerastune.callbacks.recording_callback import RecordingCallback
from kerastune.runtime import tensorboard_writer
from kerastune.training.step_recorder import Chunk, StepRecorder


class UpdateRatio(RecordingCallback):
    """Measures how far each step moves the weights, relative to their size (S1.7).

    Every `every` steps it writes `weight_update_ratio/<layer>` and
    `weight_update_ratio/whole_model` to TensorBoard: the L2 norm of the update over the L2 norm of
    the weights before it. Variables of rank 1 and less (biases, scales) are left out.

    Args:
        log_dir: directory of the TensorBoard run.
        every: steps between two measurements, `>= 1`.

    Raises:
        ValueError: when `every` is below 1.

    Example:
        >>> ratio = UpdateRatio("logs/run-1")  # doctest: +SKIP
        >>> model.fit(x, y, epochs=1, steps_per_epoch=10, callbacks=[ratio])  # doctest: +SKIP
        >>> ratio.suggest_learning_rate()  # doctest: +SKIP
    """

    def __init__(self, log_dir: str, every: int = 10):
        super().__init__(log_dir)
        if every < 1:
            raise ValueError(f"`every` must be >= 1 step, got {every}.")
        self.every = every
        self.first_update: dict | None = None

    def make_recorder(self, capacity: int) -> StepRecorder:
        return StepRecorder(self.model, capacity, ratio_every=self.every)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        super().on_train_begin(logs)
        self.first_update = None
        # Without the wrapper of loss scaling.
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        self._settings = {
            "optimizer": type(optimizer).__name__.lower(),
            "rates": [float(np.asarray(optimizer.learning_rate))],
            "momentum": float(getattr(optimizer, "momentum", 0.0)),
            "nesterov": bool(getattr(optimizer, "nesterov", False)),
        }

    def write(self, start: int, chunk: Chunk) -> None:
        layers = list(self.recorder.layers)
        for step, update, weight in zip(
            chunk.ratio_steps, chunk.update_norms, chunk.weight_norms, strict=True
        ):
            self.board.scalars(start + step, tensorboard_writer.ratios(layers, update, weight))
        if start == 0 and "loss" in chunk.values:
            norms = {"update_norms": chunk.update_norms[:1], "weight_norms": chunk.weight_norms[:1]}
            self.first_update = {**self._settings, "losses": chunk.values["loss"][:1], **norms}

    def suggest_learning_rate(self) -> float:
        """A learning rate from the first step of the last `fit`.

        For this model, optimizer and batch size.

        It counts only if it was the optimizer's very first: later steps carry momentum, and
        training has changed what is measured. The rate of that step, and what came after it, don't
        matter. For SGD one start is a rough guide: suggestions from other seeds differ by a factor
        of about 1.5, and `kerastune probe` averages several.

        Raises:
            ValueError: when the optimizer's first step was not measured.
        """
        if self.first_update is None:
            raise ValueError(
                "the optimizer's first step was not measured: call `fit` with this callback after "
                "`compile`, before any other training."
            )
        return learning_rate_probe.suggest_learning_rate(**self.first_update)
