"""KerasTuner's own oracles as a function of what was tried: the hyperparameters to try next."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus


class Sampler:
    """Proposes values of a model's hyperparameters from a seed and what was tried alone.

    An oracle of KerasTuner's is made anew for every proposal, with a seed of its own, and given the
    finished trials; so the same records give the same proposal after a crash, and no random state
    has to be kept.

    Args:
        space: the hyperparameters that `build(hp)` declares, parents first.
        seed: `>= 0`; 0 is a seed like any other.
        most: sets of values that are tried, at most; `None` for any number.

    Example:
        >>> space = keras_tuner.HyperParameters()
        >>> units = space.Int("units", 8, 64, step=8, default=16)
        >>> sampler = Sampler(space, seed=1)
        >>> sampler([({"units": 16}, 0.9)]) == sampler([({"units": 16}, 0.9)])
        True
    """

    def __init__(self, space: keras_tuner.HyperParameters, seed: int, most: int | None = None):
        self._space, self._seed, self._most = space, seed, most

    def __call__(self, tried: Sequence[tuple[dict[str, Any], float | None]], guided: bool = False):
        """Values of every active hyperparameter that were not tried yet; `None` without any.

        Args:
            tried: values and their scores, more being better; a score of `None` counts as the worst
                of the others.
            guided: whether the Bayesian oracle proposes; else, or when it repeats itself, the
                random one does.
        """
        if self._most is not None and len(tried) >= self._most:
            return None
        if guided and any(score is not None for _, score in tried):
            values = self._proposal(
                keras_tuner.oracles.BayesianOptimizationOracle, tried, num_initial_points=1
            )
            if values not in [completed(self._space, known) for known, _ in tried]:
                return values
        return self._proposal(keras_tuner.oracles.RandomSearchOracle, tried)

    def _proposal(self, kind: type, tried, **settings) -> dict[str, Any] | None:
        drawn = np.random.SeedSequence([self._seed, len(tried)]).generate_state(1)[0]
        # 0 would be random.
        seed = int(drawn) or 1
        objective = keras_tuner.Objective("score", "max")
        oracle = kind(
            objective=objective, seed=seed, hyperparameters=self._space.copy(), **settings
        )
        worst = min((score for _, score in tried if score is not None), default=0.0)
        for index, (values, score) in enumerate(tried):
            named = self._space.copy()
            named.values = completed(self._space, values)
            oracle.trials[str(index)] = Trial(
                named, trial_id=str(index), status=TrialStatus.COMPLETED
            )
            oracle.trials[str(index)].score = worst if score is None else score
            oracle._record_values(oracle.trials[str(index)])  # what it must not repeat
        with warnings.catch_warnings():
            # scikit-learn's are about kernels that fit a handful of points loosely.
            warnings.simplefilter("ignore")
            values = oracle.populate_space(str(len(tried)))["values"]
        return values and {name: _plain(value) for name, value in values.items()}


def completed(space: keras_tuner.HyperParameters, values: dict[str, Any]) -> dict[str, Any]:
    """A value for every active hyperparameter, the default where none is given.

    KerasTuner fills what is missing with values that no seed determines.

    Example:
        >>> space = keras_tuner.HyperParameters()
        >>> deep = space.Boolean("deep")
        >>> with space.conditional_scope("deep", [True]):
        ...     units = space.Int("units", 8, 32, default=16)
        >>> completed(space, {"deep": False, "units": 8}), completed(space, {"deep": True})
        ({'deep': False}, {'deep': True, 'units': 16})
    """
    named = keras_tuner.HyperParameters()
    for parameter in space.space:
        named.merge([parameter])
        if named.is_active(parameter):
            named.values[parameter.name] = values.get(parameter.name, parameter.default)
    return dict(named.values)


def searched(space: keras_tuner.HyperParameters) -> list[str]:
    """Names of the hyperparameters that have more than one value, in their order.

    Example:
        >>> space = keras_tuner.HyperParameters()
        >>> classes, units = space.Fixed("classes", 10), space.Choice("units", [32, 64])
        >>> searched(space)
        ['units']
    """
    fixed = keras_tuner.engine.hyperparameters.Fixed
    return list(
        dict.fromkeys(
            parameter.name for parameter in space.space if not isinstance(parameter, fixed)
        )
    )


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
