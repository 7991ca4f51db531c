"""Pruning by magnitude while a model is trained."""

from __future__ import annotations

import keras

from kerastune.analysis import sparsity as rules
from kerastune.models import pruning
from kerastune.training.optimizers import step_counter

CHANGES = 20  # of the sparsity, at most, until it is reached


class MagnitudePruning(keras.callbacks.Callback):
    """Sets more and more of the smallest weights to zero during `fit` (S4.4).

    They stay zero at every step.

    The share of zeros grows from 0 at `begin_step` to `sparsity` at `end_step`, fast first and slow
    at the end (`kerastune.analysis.sparsity.at`, after Zhu and Gupta 2017, arXiv:1710.01878). Steps
    are batches that the optimizer has seen, so a model that is compiled anew begins at 0 and a
    training that goes on from a checkpoint goes on here too. With several steps per execution the
    share changes after the execution in which its step falls; zeros hold at every step.

    Training should go on for a while after `end_step`, at a falling rate, for the other weights to
    make up for what is gone. The masks stay when `fit` ends, so that a later one keeps the zeros
    too, until `kerastune.models.pruning.strip` takes them off. A saved model has none of them, and
    loads without kerastune.

    Logs `sparsity` at the ends of epochs: the share of zeros among what is pruned.

    Args:
        sparsity: share of zeros at the end, in `[0, 1)`.
        end_step: step at which it is reached, `>= begin_step`.
        begin_step: step from which it grows, `>= 0`.
        every: steps between two changes, `>= 1`.
        scope: `"global"`: the smallest weights of all kernels together; `"layer"`: the same share
            of each.
        which: a function that tells of a variable whether it is pruned; kernels alone by default,
            no biases, normalizations or embeddings.

    Raises:
        ValueError: for an argument out of range; in `fit`, for a model with nothing to prune.

    Example:
        >>> pruned = MagnitudePruning(0.8, end_step=1000)
        >>> model.fit(x, y, epochs=5, callbacks=[pruned])  # doctest: +SKIP
        >>> kerastune.pruning.strip(model)  # doctest: +SKIP
    """

    def __init__(
        self,
        sparsity: float,
        end_step: int,
        begin_step: int = 0,
        every: int = 100,
        scope: str = "global",
        which: pruning.Which = pruning.is_kernel,
    ):
        super().__init__()
        rules.check_schedule(sparsity, begin_step, end_step, every)
        rules.check_scope(scope)
        self.sparsity = sparsity
        self.begin_step, self.end_step, self.every = begin_step, end_step, every
        self.scope, self.which = scope, which

    def __getstate__(self):
        return {**vars(self), "_model": None}  # a copy has no part in the last `fit`

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        if pruning.install(self.model, self.which):
            # Keras has made the train function for this `fit` already, perhaps one that was traced
            # without masks.
            type(self.model).make_train_function(self.model, force=True)
        self._present = None
        self._follow()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._follow()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if logs is not None:
            logs["sparsity"] = pruning.measured(self.model, self.which)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        # An optimizer with moving averages has just put them in the place of the weights.
        pruning.hold(self.model)

    def _follow(self) -> None:
        """Prunes to what the schedule asks for now, if that is not done."""
        step = int(step_counter(self.model.optimizer).numpy())
        wanted = rules.at(step, self.sparsity, self.begin_step, self.end_step, self.every)
        if wanted != self._present:
            pruning.prune(self.model, wanted, self.scope, self.which)
            self._present = wanted


def over(sparsity: float, total_steps: int) -> list[MagnitudePruning]:
    """What prunes in the first half of a training, so that the second can make up for it.

    Args:
        sparsity: fraction of zeros; 0 for no pruning.
        total_steps: of the training.
    """
    if not sparsity:
        return []
    half = max(total_steps // 2, 1)
    return [MagnitudePruning(sparsity, end_step=half, every=max(half // CHANGES, 1))]
