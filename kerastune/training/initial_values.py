"""Initial values of a network's variables, by seed.

The first seed of a network builds it twice, to see which kernels are drawn anew
(`models.initializers`), and sets TensorFlow's seed, which drops all compiled kernels: the next call
of the train function then takes some tenths of a second. The second seed tells whether that one
matters; for most networks it does not, since Keras's layers draw from Python's generator. Later
ones build the network once.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable, Collection

import keras
import numpy as np

from kerastune.models import initializers
from kerastune.recipe import Recipe
from kerastune.training.segment_callback import values_of

ReadyModel = Callable[[Recipe], keras.Model]


@dataclasses.dataclass
class _Known:
    """What the first seeds told of a network.

    Args:
        kernels: places among the weights of those that get He's values.
        needs_tensorflow: whether its values depend on TensorFlow's seed; `None` before that is
            known.
    """

    kernels: Collection[int]
    needs_tensorflow: bool | None = None


class InitialValues:
    """Gives the values of a network's variables at step 0.

    Example:
        >>> build = lambda recipe: keras.Sequential([keras.Input([4]), keras.layers.Dense(2)])
        >>> found = InitialValues()
        >>> first, other, again = (found.of(Recipe(seed=seed), build)[0] for seed in (1, 2, 1))
        >>> bool((first == again).all()), bool((first == other).all())
        (True, False)
    """

    def __init__(self):
        self._known: dict[tuple, _Known] = {}
        self._last: tuple[tuple, list[np.ndarray]] | None = None

    def of(self, recipe: Recipe, ready_model: ReadyModel) -> list[np.ndarray]:
        """Values of `model.variables`: weights by the recipe's seed and initializers, then random
        states.

        Args:
            recipe: gives hyperparameters, initializers and seed.
            ready_model: makes the model of a recipe, with its weights.
        """
        network = json.dumps(recipe.hyperparameters, sort_keys=True), recipe.initializers
        key = (*network, recipe.seed)
        if self._last is None or self._last[0] != key:
            # One at a time: the probe's seeds are not asked for again, and weights may be large.
            self._last = None
            self._last = key, self._made(network, recipe, ready_model)
        return self._last[1]

    def _made(self, network: tuple, recipe: Recipe, ready_model: ReadyModel) -> list[np.ndarray]:
        known, seed = self._known.get(network), recipe.seed
        if known is None:
            model, kernels = self._first(recipe, ready_model)
            self._known[network] = known = _Known(kernels)
        elif known.needs_tensorflow is None:
            keras.utils.set_random_seed(seed + initializers.OTHER)
            without = values_of(_by_python(recipe, ready_model).variables)
            keras.utils.set_random_seed(seed)
            model = ready_model(recipe)
            pairs = zip(values_of(model.variables), without, strict=True)
            known.needs_tensorflow = not all(np.array_equal(*pair) for pair in pairs)
        elif known.needs_tensorflow:
            keras.utils.set_random_seed(seed)
            model = ready_model(recipe)
        else:
            model = _by_python(recipe, ready_model)
        initializers.draw(model, known.kernels, seed)
        return values_of(model.variables)

    def _first(
        self, recipe: Recipe, ready_model: ReadyModel
    ) -> tuple[keras.Model, Collection[int]]:
        """The first model of a network, and the kernels that get other values."""
        if recipe.initializers == "auto":
            return initializers.built_twice(lambda: ready_model(recipe), recipe.seed)
        keras.utils.set_random_seed(recipe.seed)
        return ready_model(recipe), ()


def _by_python(recipe: Recipe, ready_model: ReadyModel) -> keras.Model:
    """A model by the seeds of Python and numpy, whatever TensorFlow's is."""
    random.seed(recipe.seed)
    np.random.seed(recipe.seed)
    return ready_model(recipe)
