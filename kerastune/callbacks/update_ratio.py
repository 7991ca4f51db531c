"""The ratio of update to weights in TensorBoard, and the learning rate that it suggests."""

from __future__ import annotations

import numpy as np

from kerastune import boards, probe
from kerastune.callbacks.recording_callback import RecordingCallback
from kerastune.recording import Chunk, StepRecorder


class UpdateRatio(RecordingCallback):
    """Measures how far each step moves the weights, relative to their size (S1.7).

    Every `every` steps it writes `update_ratio/<layer>` and `update_ratio/whole_model` to TensorBoard: the L2 norm of
    the update over the L2 norm of the weights before it. Variables of rank 1 and less (biases, scales) are left out.

    Args:
        log_dir: directory of the TensorBoard run.
        every: steps between two measurements, `>= 1`.

    Raises:
        ValueError: when `every` is below 1.

    Example:
        >>> ratio = UpdateRatio("logs/run-1", every=1)  # doctest: +SKIP
        >>> model.fit(x, y, epochs=1, steps_per_epoch=60, callbacks=[ratio])  # doctest: +SKIP
        >>> ratio.suggest_learning_rate()  # doctest: +SKIP
    """

    def __init__(self, log_dir: str, every: int = 10):
        super().__init__(log_dir)
        if every < 1:
            raise ValueError(f"`every` must be >= 1 step, got {every}.")
        self.every = every

    def make_recorder(self, capacity: int) -> StepRecorder:
        self.ratios: list[float] = []
        self.rates: list[float] = []
        self.family = type(self.model.optimizer).__name__.lower()
        return StepRecorder(self.model, capacity, ratio_every=self.every)

    def write(self, start: int, chunk: Chunk) -> None:
        layers = list(self.recorder.layers)
        for step, update, weight in zip(chunk.ratio_steps, chunk.update_norms, chunk.weight_norms):
            self.board.scalars(start + step, boards.ratios(layers, update, weight))
        self.ratios.extend(probe.whole_model_ratio(chunk.update_norms, chunk.weight_norms).tolist())
        rate = float(np.asarray(self.model.optimizer.learning_rate))
        self.rates.extend([rate] * len(chunk.ratio_steps))

    def suggest_learning_rate(self) -> float:
        """A learning rate for this model, optimizer and batch size, from what the last `fit` measured.

        A few dozen batches are enough; measurements of the first 20 batches count only when there are no others.

        Raises:
            ValueError: when nothing was measured, or no ratio is known for the optimizer.
        """
        target = probe.target_ratio(self.family)
        settled = slice(min(probe.WARM_UP // self.every, max(len(self.ratios) - 1, 0)), None)
        return probe.suggest_learning_rate(self.rates[settled], self.ratios[settled], target)
