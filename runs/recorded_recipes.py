"""The recipes of the recorded runs, as changes of one base recipe."""

from __future__ import annotations

import dataclasses

import numpy as np

from kerastune.recipe import Recipe

# Changes of the base recipe: SGD with Nesterov momentum at the rate that fell deepest, batches of
# 64, linear decay. `rate` is a factor of that learning rate (of Adam's where Adam trains), `length`
# one of the examples that are seen, `decay_start` and `warmup_steps` are fractions of the steps;
# all others are values of a `Recipe`. Those that a `Recipe` does not know are left out, and so is
# what does not suit a task. The order is by what must be traced anew.
ON = {"regularizers": "on"}
ADAM = {"optimizer": "adam"}
RECIPES = {
    "base": {},
    "rate x1/3": {"rate": 1 / 3},
    "rate x3": {"rate": 3.0},
    "batch 32": {"batch_size": 32, "rate": 0.7},
    "batch 256": {"batch_size": 256, "rate": 2.0},
    "constant": {"decay": "none"},
    "late decay": {"decay_start": 0.5},
    "cosine": {"decay": "cosine"},
    "warm-up": {"warmup_steps": 0.1},
    "warm-up, rate x3": {"warmup_steps": 0.2, "rate": 3.0},
    "length x1/4": {"length": 0.25},
    "length x3": {"length": 3.0},
    "augmentation": {"augmentation": 0.1},
    "flip": {"flip": True},
    "augmentation, length x3": {"augmentation": 0.1, "length": 3.0},
    "average .99": {"ema": 0.99},
    "average .99, constant": {"ema": 0.99, "decay": "none"},
    "smoothing": {"label_smoothing": 0.1},
    "smoothing, length x3": {"label_smoothing": 0.1, "length": 3.0},
    "weight decay .002": {"weight_decay": 2e-3},
    "weight decay .02": {"weight_decay": 2e-2},
    "dropout .1": {"dropout": 0.1, **ON},
    "dropout .25": {"dropout": 0.25, **ON},
    "dropout .25, length x3": {"dropout": 0.25, "length": 3.0, **ON},
    "smoothing, dropout .1": {"label_smoothing": 0.1, "dropout": 0.1, **ON},
    "smoothing, dropout .25, length x3": {
        "label_smoothing": 0.1,
        "dropout": 0.25,
        "length": 3.0,
        **ON,
    },
    "adam": ADAM,
    "adam .001": {"learning_rate": 1e-3, **ADAM},
    "adam .003": {"learning_rate": 3e-3, **ADAM},
    "adam .003, length x1/4": {"learning_rate": 3e-3, "length": 0.25, **ADAM},
    "adam, rate x1/3": {"rate": 1 / 3, **ADAM},
    "adam, length x3": {"length": 3.0, **ADAM},
    "keras defaults": {
        "learning_rate": 1e-3,
        "batch_size": 32,
        "decay": "none",
        "length": 2.0,
        **ADAM,
    },
    "adam, smoothing": {"label_smoothing": 0.1, **ADAM},
    "adam, dropout .1": {"dropout": 0.1, **ON, **ADAM},
    "adam .003, beta_2 .95": {"learning_rate": 3e-3, "beta_2": 0.95, **ADAM},
    "adam .003, dropout .25": {"learning_rate": 3e-3, "dropout": 0.25, **ON, **ADAM},
    "adam .003, weight decay .1": {"learning_rate": 3e-3, "weight_decay": 0.1, **ADAM},
}
# Changes of the recipe that a search of the network begins with, for `universe_folds`.
BASE = "base"
OWN = {
    BASE: {},
    "constant": {"decay": "none"},
    "cosine": {"decay": "cosine"},
    "rate x1/3": {"rate": 1 / 3},
    "rate x3": {"rate": 3.0},
    "length x1/4": {"length": 0.25},
    "length x3": {"length": 3.0},
    "average .99": {"ema": 0.99},
    "no smoothing": {"label_smoothing": 0.0},
    "smoothing": {"label_smoothing": 0.1},
    "no weight decay": {"weight_decay": 0.0},
    "weight decay .1": {"weight_decay": 0.1},
    "no dropout": {"dropout": None},
    "dropout .1": {"dropout": 0.1, **ON},
    "dropout .25": {"dropout": 0.25, **ON},
    "dropout .25, length x3": {"dropout": 0.25, "length": 3.0, **ON},
    "augmentation": {"augmentation": 0.1},
    "flip": {"flip": True},
    "keras defaults": {
        "learning_rate": 1e-3,
        "batch_size": 32,
        "decay": "none",
        "beta_2": 0.999,
        "label_smoothing": 0.0,
        "weight_decay": 0.0,
        "dropout": None,
    },
}
RATES = {
    "sgd": [10 ** (k / 2) for k in range(-6, 1)],
    "adam": [10 ** (k / 2) for k in range(-8, -1)],
}
EPOCHS, BATCH = 30, 64
LEAST_STEPS, MOST_STEPS = 800, 2400
EVALUATIONS = 12  # of a run, about
PROBED = (100, 400)  # steps of a rate's trial, at least and at most
WORST_LOSS = 99.0  # larger ones are cut off
CHUNK = 50  # steps of one call; all lengths are multiples of it


# Rules on numbers.


def base_steps(examples: int) -> int:
    """Steps of the base recipe, a multiple of 200 so that a quarter of it is one of `CHUNK`.

    Example:
        >>> base_steps(100), base_steps(3000), base_steps(20_000)
        (800, 1400, 2400)
    """
    steps = min(max(EPOCHS * examples / BATCH, LEAST_STEPS), MOST_STEPS)
    return 200 * round(steps / 200)


def grid(steps: float) -> tuple[int, int]:
    """Steps of a run and between its evaluations, both multiples of `CHUNK`.

    Example:
        >>> grid(1400), grid(350), grid(100)
        ((1400, 100), (350, 50), (100, 50))
    """
    every = CHUNK * max(1, round(steps / EVALUATIONS / CHUNK))
    return every * max(1, round(steps / every)), every


def probed_steps(base: int) -> int:
    """Steps of a learning rate's trial: a sixteenth of the base, at least 100 and at most 400."""
    low, high = PROBED
    return CHUNK * round(min(max(base / 16, low), high) / CHUNK)


def smoothed(losses, steps):
    """Mean of the losses of the last tenth (at least 20 steps) before each of `steps`.

    Example:
        >>> smoothed(np.arange(100.0), [50, 100]).tolist()
        [39.5, 89.5]
        >>> smoothed(np.full(60, 1e30), [50, 100]).tolist()
        [99.0, 99.0]
    """
    # What explodes is cut off, lest it swallow the rest of the sums.
    sums = np.append(0.0, np.cumsum(np.clip(np.nan_to_num(losses, nan=WORST_LOSS), 0, WORST_LOSS)))
    ends = np.minimum(steps, len(losses))
    starts = np.maximum(ends - np.maximum(ends // 10, 20), 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def missing_values(changes: dict) -> set[str]:
    """What a `Recipe` does not know of these changes."""
    known = {field.name: field for field in dataclasses.fields(Recipe)}
    unknown = set(changes) - set(known) - {"rate", "length"}
    optimizer = changes.get("optimizer", "sgd")
    if optimizer not in known["optimizer"].metadata.get("choices", (optimizer,)):
        unknown.add(optimizer)
    return unknown


def suits(changes: dict, task) -> bool:
    """Whether changes make sense for a task."""
    if task.kind == "regression" and changes.get("label_smoothing"):
        return False
    if changes.get("flip") and not task.flips:
        return False
    return task.data == "image" or not (changes.get("augmentation") and changes.get("length"))


def own_recipe(starting: dict, changes: dict, seed: int, base: int):
    """The recipe of these changes of a network's own, and the steps between its evaluations."""
    values = {**starting, **changes}
    rate, length = values.pop("rate", 1.0), values.pop("length", 1.0)
    values["learning_rate"] *= rate
    steps, every = grid(base * length)
    return Recipe(**values, total_steps=steps, seed=seed), every


def recipe_of(changes: dict, seed: int, base: int, rates: dict[str, float]):
    """The recipe of these changes, and the steps between its evaluations."""
    values = {key: value for key, value in changes.items() if key not in ("rate", "length")}
    family = "sgd" if values.get("optimizer", "sgd") == "sgd" else "adam"
    values.setdefault("learning_rate", rates[family] * changes.get("rate", 1.0))
    batch = values.setdefault("batch_size", BATCH)
    steps, every = grid(base * changes.get("length", 1.0) * BATCH / batch)
    for key in ("decay_start", "warmup_steps"):
        if key in values:
            values[key] = round(values[key] * steps)
    return Recipe(**values, total_steps=steps, seed=seed + 1), every
