"""What `PlaybookTuner` is given: checked, or refused with the reason."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from kerastune.callbacks import ExponentialDecay, LinearDecay
from kerastune.recipe import Recipe
from kerastune.runtime import naming
from kerastune.training import user_callbacks

# Methods of KerasTuner's tuners that would train, or look on.
NEVER_CALLED = (
    *("run_trial", "_build_and_fit_model"),
    *("on_epoch_begin", "on_epoch_end", "on_batch_begin", "on_batch_end"),
)


def refuse_foreign_project(path: Path) -> None:
    """Raises `ValueError` for a project directory of another tuner, whose files can't be read.

    Args:
        path: of the directory, which may not exist.
    """
    if any(path.glob("tuner*.json")):
        raise ValueError(
            f"{path} holds a search of KerasTuner's own: give another `project_name` or "
            "`directory`, or delete it."
        )


def checked_seed(seed: int) -> int:
    """The seed, if it is an integer of 0 or more; else `ValueError`."""
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"`seed` must be an integer >= 0, got {seed!r}.")
    return seed


def refuse_unknown(given: Iterable[str], known: Sequence[str]) -> None:
    """Raises `ValueError` for a name that `search` does not take."""
    for name in given:
        if name not in known:
            hint = naming.did_you_mean(name, known)
            raise ValueError(f"search does not take `{name}`{hint or ': leave it out.'}")


def checked_callbacks(given: Any) -> list[user_callbacks.Given]:
    """The callbacks of a search as a list, none of which kerastune's own work would undo.

    Args:
        given: a callback, a function that makes one, several of them, or `None`.

    Raises:
        ValueError: for what is no callback, sets the learning rate, or can't be copied.

    Example:
        >>> checked_callbacks(None), len(checked_callbacks(keras.callbacks.TerminateOnNaN()))
        ([], 1)
    """
    several = list(given) if isinstance(given, (list, tuple)) else [given]
    listed = [] if given is None else several
    setters = (keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler)
    for each in listed:
        callback = user_callbacks.made(each)
        name = type(callback).__name__
        if isinstance(callback, (*setters, LinearDecay, ExponentialDecay)):
            raise ValueError(
                f"the callback {name} sets the learning rate, which kerastune tunes: leave it out."
            )
        if callback is each:
            _check_copies(callback, name)
    return listed


def _check_copies(callback: keras.callbacks.Callback, name: str) -> None:
    try:
        copy.deepcopy(callback)
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(
            f"the callback {name} can't be copied for every trial ({reason}): give a function that "
            f"makes it, as in callbacks=[lambda: {name}(...)]."
        ) from None


def notes_on_callbacks(callbacks: Sequence[user_callbacks.Given]) -> tuple[str, ...]:
    """What callbacks do here otherwise than in `fit`, a sentence each.

    Example:
        >>> notes_on_callbacks([keras.callbacks.BackupAndRestore("backup")])[0][:42]
        'BackupAndRestore restores nothing: a searc'
    """
    told = []
    for callback in map(user_callbacks.made, callbacks):
        if isinstance(callback, keras.callbacks.BackupAndRestore):
            told.append(
                "BackupAndRestore restores nothing: a search goes on from its own study, by itself."
            )
        if isinstance(callback, keras.callbacks.EarlyStopping):
            restores = callback.restore_best_weights
            told.append(
                "EarlyStopping counts evaluations, and stops single trials; the best weights are "
                f"kept in any case{', and none are restored' if restores else ''}."
            )
    return tuple(told)


def refuse_overrides(tuner: type, base: type, hypermodel: object) -> None:
    """Refuses training loops that would never be called.

    Args:
        tuner: the class of the tuner.
        base: the class that it may derive from.
        hypermodel: as the tuner takes it.

    Raises:
        ValueError: for a tuner with a `run_trial` or another method that trains, or a hypermodel
            with a `fit`, of its own.
    """
    for name in NEVER_CALLED:
        if getattr(tuner, name) is not getattr(base, name):
            raise ValueError(
                f"{tuner.__name__} overrides {name}, but kerastune's own trainer runs every trial: "
                "move what it does into the model's train_step, or into callbacks."
            )
    fit = getattr(type(hypermodel), "fit", None)
    if isinstance(hypermodel, keras_tuner.HyperModel) and fit is not keras_tuner.HyperModel.fit:
        raise ValueError(
            f"{type(hypermodel).__name__} overrides fit, but kerastune's trainer trains the model: "
            "move what it does into the model's train_step, or into callbacks."
        )


def checked_recipe(
    recipe: Recipe | Mapping[str, Any] | None,
) -> tuple[Recipe | None, frozenset[str]]:
    """The recipe that was given, and the names of the values that were: of a whole one all, but for
    the learning rate where it is the default, which suits few optimizers.

    Args:
        recipe: a whole one, some values of one, or `None`.

    Raises:
        ValueError: for a value that is out of range, or no part of a recipe, and for another type.

    Example:
        >>> found, names = checked_recipe({"batch_size": 128})
        >>> found.batch_size, sorted(names), checked_recipe(None)
        (128, ['batch_size'], (None, frozenset()))
    """
    if isinstance(recipe, Recipe):
        is_usual = recipe.learning_rate == Recipe().learning_rate
        return recipe, frozenset(recipe.to_dict()) - ({"learning_rate"} if is_usual else set())
    if recipe is not None and not isinstance(recipe, Mapping):
        raise ValueError(
            "`recipe` must be a Recipe or a dict of some of its values, as "
            f"{{'optimizer': 'lion'}}, got {recipe!r}."
        )
    if not recipe:
        return None, frozenset()
    return Recipe.from_dict(dict(recipe)), frozenset(recipe)
