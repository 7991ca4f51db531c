"""The hyperparameters of a `build(hp)`, those too that it declares for some values of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras_tuner

from kerastune.models import hypermodels


class Declared(keras_tuner.HyperModel):
    """A hypermodel whose hyperparameters are known before `build`, which may then `get` them.

    Args:
        hypermodel: of the user's.
        space: its hyperparameters.

    Example:
        >>> from kerastune.models.hypermodels import BuildFunction
        >>> space = keras_tuner.HyperParameters()
        >>> units = space.Int("units", 8, 64)
        >>> mine = BuildFunction(lambda hp: hp.get("units"))
        >>> Declared(mine, space).build(keras_tuner.HyperParameters())
        8
    """

    def __init__(self, hypermodel: keras_tuner.HyperModel, space: keras_tuner.HyperParameters):
        super().__init__(name=hypermodel.name, tunable=hypermodel.tunable)
        self._hypermodel, self._space = hypermodel, space

    def build(self, hp: keras_tuner.HyperParameters) -> Any:
        """What the hypermodel builds."""
        hp.merge(self._space.space, overwrite=False)
        return self._hypermodel.build(hp)


def declared(
    hypermodel: keras_tuner.HyperModel, space: keras_tuner.HyperParameters
) -> keras_tuner.HyperModel:
    """The hypermodel with its hyperparameters known; networks of ours declare theirs themselves."""
    return hypermodel if is_ours(hypermodel) else Declared(hypermodel, space)


def is_ours(hypermodel: keras_tuner.HyperModel) -> bool:
    """Whether a hypermodel is one of kerastune's."""
    return hypermodels.is_built_in(hypermodel) or isinstance(hypermodel, hypermodels.Pretrained)


def explore(
    hypermodel: keras_tuner.HyperModel,
    space: Callable[[], keras_tuner.HyperParameters],
    update: Callable[[keras_tuner.HyperParameters], None],
) -> None:
    """Finds hyperparameters that a plain `if` or loop declares, as for a second layer.

    The model is built with other values of one hyperparameter at a time: every one of a choice, the
    largest of a number, and all of that number where it declares something. What is found is active
    for the values that declare it.

    Args:
        hypermodel: of the user's.
        space: gives a copy of the hyperparameters that are known.
        update: takes up what was found.

    Example:
        >>> from kerastune.models.hypermodels import BuildFunction
        >>> def build(hp):
        ...     return [hp.Int(f"units_{i}", 8, 64) for i in range(hp.Int("layers", 1, 3))]
        >>> known = keras_tuner.HyperParameters()
        >>> build(known)
        [8]
        >>> explore(BuildFunction(build), known.copy, lambda new: known.merge(new, overwrite=False))
        >>> {each.name: [c.values for c in each.conditions] for each in known.space}
        {'layers': [], 'units_0': [], 'units_1': [[2, 3]], 'units_2': [[3]]}
    """
    for parent in [each for each in space().space if not each.conditions]:
        values = [each for each in _first(parent) if each != parent.default]
        declared_by = {value: _new(hypermodel, space(), parent.name, value) for value in values}
        if not any(declared_by.values()):
            continue
        for value in parent.values:
            if value not in declared_by and value != parent.default:
                declared_by[value] = _new(hypermodel, space(), parent.name, value)
        found = {name: each for new in declared_by.values() for name, each in new.items()}
        known = space()
        for name, each in found.items():
            by = [value for value in parent.values if name in declared_by.get(value, {})]
            each.conditions = [*_conditions(parent, by), *each.conditions]
            known.merge([each])
        update(known)


def _first(parameter: Any) -> list[Any]:
    """Values of a hyperparameter that are tried first: all, or the largest of a number."""
    kinds = keras_tuner.engine.hyperparameters
    if not isinstance(parameter, (kinds.Boolean, kinds.Choice, kinds.Int)):
        return []
    values = list(parameter.values)
    is_number = not isinstance(parameter, kinds.Boolean) and isinstance(values[0], (int, float))
    return values[-1:] if is_number else values


def _conditions(parent: Any, values: list[Any]) -> list[Any]:
    """What KerasTuner notes of a hyperparameter that is active for these values of another."""
    scoped = keras_tuner.HyperParameters()
    scoped.merge([parent])
    with scoped.conditional_scope(parent.name, values):
        scoped.Fixed("noted", True)
    return list(scoped.space[-1].conditions)


def _new(
    hypermodel: keras_tuner.HyperModel, hp: keras_tuner.HyperParameters, name: str, value: Any
) -> dict[str, Any]:
    """Hyperparameters by name that one value of another declares besides those that are known."""
    known = {each.name for each in hp.space}
    hp.values[name] = value
    try:
        hypermodel.build(hp)
    except Exception:  # a network that can't be built is passed over when it is tried
        return {}
    return {each.name: each for each in hp.space if each.name not in known}
