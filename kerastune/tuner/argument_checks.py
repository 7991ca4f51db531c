"""What `PlaybookTuner` is given: checked, or refused with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import keras
import keras_tuner

from kerastune.callbacks import ExponentialDecay, LinearDecay

REFUSED = {
    "epochs": "the number of steps is what kerastune finds out",
    "batch_size": (
        "the batch size is part of the recipe: pass recipe=Recipe(batch_size=...) to the tuner to "
        "fix it"
    ),
    "validation_split": (
        "pass validation_data, or leave it out and kerastune cuts a part off and says so"
    ),
    "steps_per_epoch": "steps are the only clock, and the budget says how many there are",
    "initial_epoch": "kerastune goes on from its own study",
}


def checked_seed(seed: int) -> int:
    """The seed, if it is an integer of 0 or more; else `ValueError`."""
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"`seed` must be an integer >= 0, got {seed!r}.")
    return seed


def refuse_settings_of_fit(names: Iterable[str]) -> None:
    """Raises `ValueError` for a setting that `fit` would take and kerastune decides."""
    for name in names:
        if name in REFUSED:
            raise ValueError(f"`{name}` can't be given to search: {REFUSED[name]}.")


def refuse_callbacks(callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Refuses callbacks that kerastune's own work would undo, or be undone by.

    Raises:
        ValueError: for one that sets the learning rate, or restores weights during a search.
    """
    ours = (LinearDecay, ExponentialDecay)
    setters = (keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler, *ours)
    for callback in callbacks:
        why = ""
        if isinstance(callback, setters):
            why = "sets the learning rate, which kerastune tunes: leave it out"
        elif isinstance(callback, keras.callbacks.BackupAndRestore):
            why = "puts back a model of its own, but kerastune goes on from its own study: "
            why += "leave it out"
        elif getattr(callback, "restore_best_weights", False):
            why = "with restore_best_weights puts back weights in the middle of a training: "
            why += "kerastune keeps the best itself, so pass it False"
        if why:
            raise ValueError(f"the callback {type(callback).__name__} {why}.")


def refuse_overrides(tuner: type, base: type, hypermodel: object) -> None:
    """Refuses training loops that would never be called.

    Args:
        tuner: the class of the tuner.
        base: the class that it may derive from.
        hypermodel: as the tuner takes it.

    Raises:
        ValueError: for a tuner with a `run_trial`, or a hypermodel with a `fit`, of its own.
    """
    if tuner.run_trial is not base.run_trial:
        raise ValueError(
            f"{tuner.__name__} overrides run_trial, but kerastune's own trainer runs every trial."
        )
    fit = getattr(type(hypermodel), "fit", None)
    if isinstance(hypermodel, keras_tuner.HyperModel) and fit is not keras_tuner.HyperModel.fit:
        raise ValueError(
            f"{type(hypermodel).__name__} overrides fit, but kerastune's trainer trains the model: "
            "move what it does into the model's train_step, or into callbacks."
        )
