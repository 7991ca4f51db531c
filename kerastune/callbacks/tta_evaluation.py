"""How well the model in training does with test-time augmentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kerastune.callbacks.evaluation_callback import EvaluationCallback
from kerastune.inference import tta


class TTAEvaluation(EvaluationCallback):
    """Evaluates the model in training with test-time augmentation (S4.7).

    As `kerastune.inference.tta.wrap` would make it.

    Logs `val_tta_accuracy` (`val_tta_mse` for a regression) at the ends of epochs.

    Args:
        views: as `kerastune.inference.tta.wrap` takes them: layers of `kerastune.inference.views`,
            or registered layers or functions.
        validation_data: `(x, y)`, arrays or dicts of arrays, or a `tf.data.Dataset` of such
            batches, which is read into memory. Targets are integer classes, one-hot rows, 0 and 1,
            or numbers.
        weights: of the example as it is, first, and of every view, `>= 0`; equal by default.
        metric: a function of `y` and the averaged outputs that gives a number, in the place of
            accuracy.
        log_dir: directory of a TensorBoard run that gets `validation/tta_accuracy`, or `None`.
        every_epochs: epochs between two evaluations, `>= 1`.
        kind: `"classification"` or `"regression"`, where neither the model's end nor its loss
            tells.

    Raises:
        ValueError: as `kerastune.inference.tta.wrap`, and for a number out of range; in `fit`, when
            `kind` is needed and missing.

    Example:
        >>> mirrored = TTAEvaluation([views.Flip("horizontal")], (x_val, y_val))  # doctest: +SKIP
        >>> model.fit(x, y, epochs=5, callbacks=[mirrored]).history[
        ...     "val_tta_accuracy"
        ... ]  # doctest: +SKIP
    """

    title = "tta"

    def __init__(
        self,
        views: Sequence[Callable] | Mapping[str, Callable],
        validation_data: Any,
        weights: Sequence[float] | None = None,
        metric: Callable[[np.ndarray, np.ndarray], float] | None = None,
        log_dir: str | None = None,
        every_epochs: int = 1,
        kind: str | None = None,
    ):
        super().__init__(validation_data, metric, log_dir, every_epochs, kind)
        self.views = tta.checked(views)
        self.weights = tta.shares(weights, 1 + len(self.views))

    def averaged(self, x: Any) -> np.ndarray:
        outputs = tta.outputs_by_view(self.model, x, self.views, self._known)
        return np.tensordot(self.weights, np.stack(list(outputs.values())), axes=1)
