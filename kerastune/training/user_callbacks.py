"""The user's own callbacks: every trial gets copies, which it keeps over its segments."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from kerastune.trial import TrialSpec

Given = keras.callbacks.Callback | Callable[[], keras.callbacks.Callback]
# Attributes that name a file or a directory, by the last word of their names.
NAMES_A_FILE = re.compile(r"(^|_)(file|filename|file_?path|path)$")
NAMES_A_DIRECTORY = re.compile(r"(^|_)(dir|log_?dir|directory|folder)$")


class UserCallbacks:
    """Copies of the user's callbacks for every trial.

    What names files or directories gets those of the trial: `best.keras` becomes
    `train-500/best.keras`.

    Args:
        callbacks: as the user gave them, or functions that make one; they stay as they are.

    Attributes:
        stopped_by: name of the callback that stopped the last segment; empty where none did.
        is_stopped: whether anything did.
    """

    def __init__(self, callbacks: Sequence[Given]):
        self._callbacks = callbacks
        self._copies: dict[str, list[keras.callbacks.Callback]] = {}
        self.stopped_by = ""
        self.is_stopped = False

    def of(self, spec: TrialSpec) -> list[keras.callbacks.Callback]:
        """The callbacks of one trial, each followed by one that sees whether it stopped.

        What monitors a validation value is left out where nothing is evaluated.
        """
        known = self._copies.get(spec.trial) if spec.start else None
        copies = self._made(spec.trial) if known is None else known
        self._copies[spec.trial] = copies
        if spec.start:
            for callback in copies:
                _go_on(callback, is_known=known is not None)
        if not spec.eval_every:
            copies = [each for each in copies if not _needs_validation(each)]
        # The first one sees what was no callback of the user's.
        witnessed = [_Witness(self, "")] if copies else []
        for callback in copies:
            witnessed += [callback, _Witness(self, type(callback).__name__)]
        return witnessed

    def _made(self, trial: str) -> list[keras.callbacks.Callback]:
        copies = [made(each) for each in copy.deepcopy(list(self._callbacks))]
        for callback in copies:
            _place(callback, trial)
            if isinstance(callback, keras.callbacks.EarlyStopping):
                # The best weights are kept already, those of every trial.
                callback.restore_best_weights = False
            if isinstance(callback, keras.callbacks.BackupAndRestore):
                callback.on_train_begin = _do_nothing
        return copies


class _Witness(keras.callbacks.Callback):
    """Notes whether the callback before it has just stopped the training."""

    def __init__(self, callbacks: UserCallbacks, name: str):
        super().__init__()
        self._callbacks, self._name = callbacks, name

    def on_train_begin(self, logs=None):
        self._callbacks.stopped_by, self._callbacks.is_stopped = "", False

    def on_train_batch_end(self, batch, logs=None):
        self._look()

    def on_epoch_end(self, epoch, logs=None):
        self._look()

    def _look(self) -> None:
        if self.model.stop_training and not self._callbacks.is_stopped:
            self._callbacks.stopped_by, self._callbacks.is_stopped = self._name, True


def made(given: Given) -> keras.callbacks.Callback:
    """The callback itself, or the one that a function makes.

    Raises:
        ValueError: for anything else.

    Example:
        >>> type(made(keras.callbacks.TerminateOnNaN)).__name__
        'TerminateOnNaN'
    """
    is_maker = callable(given) and not isinstance(given, keras.callbacks.Callback)
    callback = given() if is_maker else given
    if not isinstance(callback, keras.callbacks.Callback):
        raise ValueError(
            f"`callbacks` must be Keras callbacks, or functions that make one, got {callback!r}."
        )
    return callback


def in_trial(name: str, path: str | os.PathLike, trial: str) -> str:
    """Where a trial has its own file or directory.

    Args:
        name: of the attribute that holds it.
        path: that the user gave.
        trial: its name.

    Example:
        >>> in_trial("filename", "logs/log.csv", "lr-1"), in_trial("log_dir", "logs", "lr-1")
        ('logs/lr-1/log.csv', 'logs/lr-1')
    """
    given = os.fspath(path)
    if NAMES_A_DIRECTORY.search(name):
        return os.path.join(given, trial)
    folder, file = os.path.split(given)
    return os.path.join(folder, trial, file)


def _place(callback: keras.callbacks.Callback, trial: str) -> None:
    """Gives a callback files and directories of the trial's own."""
    if isinstance(callback, keras.callbacks.RemoteMonitor):
        return
    for name, value in list(vars(callback).items()):
        if not _is_place(name, value):
            continue
        placed = in_trial(name, value, trial)
        setattr(callback, name, Path(placed) if isinstance(value, Path) else placed)
        if not NAMES_A_DIRECTORY.search(name) and "://" not in placed:
            os.makedirs(os.path.dirname(placed), exist_ok=True)


def _is_place(name: str, value: Any) -> bool:
    is_named = NAMES_A_FILE.search(name) or NAMES_A_DIRECTORY.search(name)
    return bool(is_named and isinstance(value, (str, os.PathLike)) and os.fspath(value))


def _go_on(callback: keras.callbacks.Callback, is_known: bool) -> None:
    """Prepares a callback for a later segment of its trial."""
    if isinstance(callback, keras.callbacks.CSVLogger):
        callback.append = True
    if is_known and isinstance(callback, keras.callbacks.EarlyStopping):
        # Its own would forget what it waited for.
        callback.on_train_begin = _do_nothing


def _needs_validation(callback: keras.callbacks.Callback) -> bool:
    """Whether it may read a validation value; one of the user's own does so at an epoch's end."""
    monitored = getattr(callback, "monitor", None)
    if isinstance(monitored, str):
        return monitored.startswith("val_")
    is_own = not type(callback).__module__.startswith(("keras.", "kerastune."))
    reads = type(callback).on_epoch_end is not keras.callbacks.Callback.on_epoch_end
    return is_own and reads or isinstance(callback, keras.callbacks.LambdaCallback)


def _do_nothing(logs: Any = None) -> None:
    """In the place of what a callback would do as a training begins."""
