"""Views in a whole search, for real on small pictures: which are kept, and that what is reported is what is saved."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerastune import PlaybookTuner, Recipe, combining, data, drawing, figures, preprocessing, release

RECIPE = Recipe(total_steps=300, batch_size=32, learning_rate=0.1)
SIDE = 6


def pictures(count, seed):
    """Noise with a bright spot on either side of the middle row; which of two patterns it has is the class.

    A mirrored picture is of the same class, one upside down of the other.
    """
    generator = np.random.default_rng(seed)
    y = np.arange(count) % 2
    x = generator.normal(scale=60, size=[count, SIDE, SIDE, 1]) + 128
    x[:, :2] += np.where(y, 18, -18)[:, None, None, None]
    x[:, -2:] -= np.where(y, 18, -18)[:, None, None, None]
    return x.clip(0, 255).astype("uint8"), y.astype("int32")


def linear(hp):
    return keras.Sequential([keras.Input([SIDE, SIDE, 1]), keras.layers.Flatten(), keras.layers.Dense(2)])


def task():
    train, validation, test = (pictures(count, seed) for seed, count in enumerate((120, 600, 600)))
    return data.from_arrays(*train, validation_data=validation, test_data=test, seed=1, prepare=True)


def search(directory, **changes):
    settings = {"budget": "1000steps", "directory": directory, "recipe": RECIPE, "stages": ["train", "tta"]}
    tuner = PlaybookTuner(changes.pop("hypermodel", linear), **{**settings, **changes})
    tuner.search(task(), verbose=0)
    return tuner
