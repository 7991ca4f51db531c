"""Which hyperparameters of a `build(hp)` feed only the optimizer, which kerastune tunes itself."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

import keras
import keras_tuner

from kerastune.models import fingerprint
from kerastune.recipe import Recipe
from kerastune.training import optimizers
from kerastune.tuner import samplers

# What a recipe says of an optimizer, by Keras's names.
CARRIED = ("learning_rate", "momentum", "nesterov")
ADDRESS = r" at 0x[0-9a-f]+"
OPTIMIZER = "optimizer"  # of a hyperparameter that chooses which one


@dataclasses.dataclass(frozen=True)
class Built:
    """What can be told of a model that was built and compiled, as plain texts.

    Args:
        network: architecture and metrics.
        loss: the loss with its settings and weights.
        optimizer: settings by name, its class among them; empty where it was not compiled.
    """

    network: str
    loss: str
    optimizer: dict[str, str]


@dataclasses.dataclass(frozen=True)
class OptimizerHyperparameters:
    """Hyperparameters that feed only the optimizer.

    Args:
        feeds: by name, the value of a recipe that takes its place; empty where none does.
        choices: by name, the values of those that choose an optimizer.

    Example:
        >>> found = OptimizerHyperparameters({"lr": "learning_rate", "epsilon": ""})
        >>> found.found(Recipe(learning_rate=0.02), {"lr": 0.1, "epsilon": 1e-7})
        {'lr': 0.02}
    """

    feeds: dict[str, str] = dataclasses.field(default_factory=dict)
    choices: dict[str, list[Any]] = dataclasses.field(default_factory=dict)

    def found(self, recipe: Recipe, values: dict[str, Any]) -> dict[str, Any]:
        """The values that a recipe gives to those of them that are active.

        Args:
            recipe: as it was found.
            values: of all active hyperparameters.
        """
        given = {name: getattr(recipe, source) for name, source in self.feeds.items() if source}
        for name, choices in self.choices.items():
            alike = [each for each in choices if str(each).lower() == recipe.optimizer]
            given[name] = alike[0] if alike else values.get(name)
        return {name: value for name, value in given.items() if name in values}

    def without(self, space: keras_tuner.HyperParameters) -> keras_tuner.HyperParameters:
        """The space without them: what there is to search."""
        left = keras_tuner.HyperParameters()
        left.merge([each for each in space.space if each.name not in self.feeds])
        return left

    def notes(self) -> tuple[str, ...]:
        """What a search says of them: a sentence, or nothing where there are none."""
        if not self.feeds:
            return ()
        named = ", ".join(f"`{name}`" for name in self.feeds)
        return (f"Hyperparameters that feed only the optimizer are tuned as its own: {named}.",)


def look(
    build: Callable[[dict[str, Any]], keras.Model],
    space: keras_tuner.HyperParameters,
    compares: bool = True,
) -> OptimizerHyperparameters:
    """Builds the model with two values of every hyperparameter, and sees what they change.

    Args:
        build: makes a model, with its weights, from values of its hyperparameters.
        space: these hyperparameters.
        compares: whether models of different values are to be compared.

    Raises:
        ValueError: for one that changes the loss, where models are to be compared.
    """
    searched = [each for each in space.space if each.name in samplers.searched(space)]
    seen = _Seen(build, space)
    if not searched or not seen.of({}).optimizer:
        return OptimizerHyperparameters()
    sources = {}
    for parameter in searched:
        sources.setdefault(parameter.name, set()).add(_feeds(seen, parameter, compares))
    alone = {name: found.pop() for name, found in sources.items() if len(found) == 1}
    others = [each for each in space.space if alone.get(each.name) is None]
    needed = {condition.name for each in others for condition in each.conditions}
    feeds = {
        name: source for name, source in alone.items() if source is not None and name not in needed
    }
    choices = {
        each.name: list(each.values) for each in searched if feeds.get(each.name) == OPTIMIZER
    }
    return OptimizerHyperparameters(feeds, choices)


class _Seen:
    """What the models of values look like, each built once."""

    def __init__(self, build: Callable[[dict[str, Any]], keras.Model], space: Any):
        self._build, self._space = build, space
        self._known: dict[str, Built] = {}

    def of(self, values: dict[str, Any]) -> Built:
        """The model of these values, with the defaults of all others."""
        completed = samplers.completed(self._space, values)
        key = json.dumps(completed, sort_keys=True)
        if key not in self._known:
            self._known[key] = _built(self._build(completed))
        return self._known[key]


def _feeds(seen: _Seen, parameter: Any, compares: bool) -> str | None:
    """The recipe's value that a hyperparameter feeds, empty for another of the optimizer's.

    `None` where it feeds anything else.
    """
    parents = {each.name: each.values[0] for each in parameter.conditions}
    other = next((each for each in parameter.values if each != parameter.default), None)
    try:
        first = seen.of({**parents, parameter.name: parameter.default})
        second = seen.of({**parents, parameter.name: other})
    except Exception:  # a network that can't be built is passed over when it is tried
        return None
    if compares and first.loss != second.loss:
        raise ValueError(
            f"hyperparameter `{parameter.name}` changes the loss ({parameter.default!r} or "
            f"{other!r}), and values of different losses can't be compared: fix it, by "
            f"hyperparameters= with hp.Fixed({parameter.name!r}, ...), and search once for each."
        )
    if first.network != second.network or first.optimizer == second.optimizer:
        return None
    return _source(first.optimizer, second.optimizer)


def _source(first: dict[str, str], second: dict[str, str]) -> str | None:
    changed = {name for name in {*first, *second} if first.get(name) != second.get(name)}
    if OPTIMIZER in changed:
        return OPTIMIZER
    if changed & set(optimizers.KEPT):
        return None  # a recipe keeps those of the model
    return next((name for name in CARRIED if name in changed), "")


def _built(model: keras.Model) -> Built:
    if not model.compiled:
        return Built("", "", {})
    settings = model._compile_config.config
    loss = [settings.get("loss"), settings.get("loss_weights")]
    core = optimizers.inner(model.optimizer)
    described = {name: _text(value) for name, value in core.get_config().items() if name != "name"}
    kind = {OPTIMIZER: type(core).__name__}
    return Built(fingerprint.of_model(model), _text(loss), {**described, **kind})


def _text(thing: Any) -> str:
    try:
        plain = keras.saving.serialize_keras_object(thing)
        return re.sub(ADDRESS, "", json.dumps(plain, sort_keys=True, default=str))
    except Exception:  # what a user's own loss can't say of itself
        return str([getattr(each, "name", type(each)) for each in keras.tree.flatten(thing)])
