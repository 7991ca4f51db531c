"""The user's own callbacks: every trial gets copies, which it keeps over its segments."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence

import keras

from kerastune.trial import TrialSpec


class UserCallbacks:
    """Copies of the user's callbacks for every trial.

    Args:
        callbacks: as the user gave them; they stay as they are.
    """

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback]):
        self._callbacks = callbacks
        self._copies: dict[str, list[keras.callbacks.Callback]] = {}

    def of(self, spec: TrialSpec) -> list[keras.callbacks.Callback]:
        """The callbacks of one trial; what logs to a directory gets the trial's own in it."""
        if spec.start and spec.trial in self._copies:
            for callback in self._copies[spec.trial]:
                if isinstance(callback, keras.callbacks.EarlyStopping):
                    # Its own would forget what it waited for.
                    callback.on_train_begin = lambda logs=None: None
            return self._copies[spec.trial]
        copies = copy.deepcopy(self._callbacks)
        for callback in copies:
            if getattr(callback, "log_dir", None) is not None:
                callback.log_dir = os.path.join(callback.log_dir, spec.trial)
        self._copies[spec.trial] = copies
        return copies
