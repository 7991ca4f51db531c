"""What the callbacks that record steps have in common."""

from __future__ import annotations

import atexit

import keras

from kerastune.models.step_wrapper import install_for_one_fit, uninstall_after_fit
from kerastune.runtime.tensorboard_writer import Board
from kerastune.training.optimizers import step_counter
from kerastune.training.step_recorder import Chunk, StepRecorder

LEAST_CAPACITY = 50  # steps between two readings when Keras runs one step at a time


class RecordingCallback(keras.callbacks.Callback):
    """Records steps during one `fit`, and hands what was recorded to `write`.

    Everything is made in `on_train_begin` and undone in `on_train_end`, so the callback can be used
    again and copied. What a `fit` that was interrupted has recorded is written when the next one
    begins, or when the program ends. Steps are batches, counted on from those that the optimizer
    has seen.

    Args:
        log_dir: directory of the TensorBoard run.
    """

    def __init__(self, log_dir: str):
        super().__init__()
        self.log_dir = str(log_dir)

    def make_recorder(self, capacity: int) -> StepRecorder:
        """The recorder for one `fit`."""
        raise NotImplementedError

    def write(self, start: int, chunk: Chunk) -> None:
        """Takes the steps from `start` on that were recorded since the last call."""
        raise NotImplementedError

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self.finish()
        self._capacity = max(self.model.steps_per_execution, LEAST_CAPACITY)
        self.recorder = self.make_recorder(self._capacity)
        self.step = int(step_counter(self.model.optimizer).numpy())
        self.recorder.reset(self.step)
        self._unread = 0
        self.board = Board(self.log_dir)
        install_for_one_fit(self.recorder)
        atexit.register(self.finish)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._unread += self.model.steps_per_execution
        if self._unread + self.model.steps_per_execution > self._capacity:
            self.read()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.read()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self.finish()

    def finish(self) -> None:
        """Writes what is left of a `fit`, and undoes what was made for it; else it does nothing."""
        if not hasattr(self, "recorder"):
            return
        atexit.unregister(self.finish)
        self.read()
        uninstall_after_fit(self.recorder)
        self.board.close()
        del self.recorder, self.board

    def __getstate__(self):
        # Variables and open files can't be copied; an exception during `fit` leaves them here, and
        # the model always.
        kept = {
            name: value for name, value in vars(self).items() if name not in ("recorder", "board")
        }
        return {**kept, "_model": None}

    def read(self) -> None:
        """Hands on what the recorder holds."""
        chunk = self.recorder.read()
        self._unread = 0
        if len(chunk):
            self.write(self.step, chunk)
            self.step += len(chunk)
            self.board.flush()
