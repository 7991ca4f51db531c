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
from collections.abc import Callable, Iterable

import keras
import numpy as np

from kerastune.models import initializers
from kerastune.recipe import Recipe
from kerastune.training.segment_callback import values_of

SEED_STEP = 1  # to another seed, as `initializers.build_initialized` takes it


@dataclasses.dataclass
class _Known:
    """What the first seeds told of a network.

    Args:
        kernels: places among the weights of those that get He's values.
        needs_tensorflow: whether its values depend on TensorFlow's seed; `None` before that is
            known.
    """

    kernels: Iterable[int]
    needs_tensorflow: bool | None = None


class InitialValues:
    """Gives the values of a network's variables at step 0.

    Args:
        ready_model: makes the model of a recipe, with its weights.

    Example:
        >>> build = lambda recipe: keras.Sequential([keras.Input([4]), keras.layers.Dense(2)])
        >>> found = InitialValues(build)
        >>> first, other, again = (found.of(Recipe(seed=seed))[0] for seed in (1, 2, 1))
        >>> bool((first == again).all()), bool((first == other).all())
        (True, False)
    """

    def __init__(self, ready_model: Callable[[Recipe], keras.Model]):
        self._ready_model = ready_model
        self._known: dict[tuple, _Known] = {}
        self._last: tuple[tuple, list[np.ndarray]] | None = None

    def of(self, recipe: Recipe) -> list[np.ndarray]:
        """Values of `model.variables`: weights by the recipe's seed and initializers, then random
        states.
        """
        network = json.dumps(recipe.hyperparameters, sort_keys=True), recipe.initializers
        key = (*network, recipe.seed)
        if self._last is None or self._last[0] != key:
            # One at a time: the probe's seeds are not asked for again, and weights may be large.
            self._last = None
            self._last = key, self._made(network, recipe)
        return self._last[1]

    def _made(self, network: tuple, recipe: Recipe) -> list[np.ndarray]:
        known = self._known.get(network)
        if known is None:
            keras.utils.set_random_seed(recipe.seed + SEED_STEP)
            is_auto = recipe.initializers == "auto"
            other = self._ready_model(recipe).get_weights() if is_auto else None
            model = self._seeded(recipe)
            kernels = initializers.drawn_before_rectifiers(model, other) if is_auto else []
            self._known[network] = known = _Known(kernels)
        elif known.needs_tensorflow is None:
            model = self._seeded(recipe)
            kept = model.get_weights()
            model = self._seeded(recipe, tensorflow=False)
            pairs = zip(kept, model.get_weights(), strict=True)
            known.needs_tensorflow = not all(np.array_equal(*pair) for pair in pairs)
            model = self._seeded(recipe) if known.needs_tensorflow else model
        else:
            model = self._seeded(recipe, known.needs_tensorflow)
        initializers.draw(model, known.kernels, recipe.seed)
        return values_of(model.variables)

    def _seeded(self, recipe: Recipe, tensorflow: bool = True) -> keras.Model:
        if tensorflow:
            keras.utils.set_random_seed(recipe.seed)
        else:
            random.seed(recipe.seed)
            np.random.seed(recipe.seed)
        return self._ready_model(recipe)
