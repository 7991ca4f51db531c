"""Small models of prepared inputs, saved and loaded as someone without kerastune does it."""

import zipfile

import keras
import tensorflow as tf


def saved_and_loaded(model, tmp_path):
    """The model as someone without kerastune loads it."""
    path = tmp_path / "model.keras"
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        config = archive.read("config.json").decode()
    assert "kerastune" not in config and "Lambda" not in config
    return keras.models.load_model(path)


def dense(num_features, num_outputs=3):
    return keras.Sequential([keras.Input((num_features,)), keras.layers.Dense(num_outputs)])


def tensors(raw):
    return {name: tf.constant(column) for name, column in raw.items()}
