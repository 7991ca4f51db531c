"""Loads saved models whose layers, metrics or schedules may be kerastune's own."""

from __future__ import annotations

import importlib
import os
import zipfile
from pathlib import Path

import keras

from kerastune.runtime import naming

# A saved model names these classes as `kerastune>Flip`: Keras finds them once they are imported,
# whatever module they are in.
REGISTERING = (
    "kerastune.inference.views",
    "kerastune.models.keras_metrics",
    "kerastune.schedules.keras_schedules",
)


def import_registered() -> None:
    """Imports every module that registers a class with Keras, so that saved models find them.

    Example:
        >>> import_registered()
        >>> keras.saving.get_registered_object("kerastune>Flip").__name__
        'Flip'
    """
    for module in REGISTERING:
        importlib.import_module(module)


def loaded(model: keras.Model | str | os.PathLike, compiled: bool = True) -> keras.Model:
    """A model as it is, or that of a file that Keras loads.

    Args:
        model: a Keras model, or the path of one.
        compiled: whether one of a file comes with its optimizer, loss and metrics.

    Example:
        >>> loaded(keras.Sequential(name="mine")).name
        'mine'
    """
    if isinstance(model, keras.Model):
        return model
    import_registered()
    return keras.models.load_model(model, compile=compiled)


def load(path: Path, model_setting: str = "", compiled: bool = True) -> keras.Model:
    """Loads a saved model in Keras's safe mode, after importing what registers its layers.

    Args:
        path: a `.keras` file.
        model_setting: the search's `model` or `pretrained`; for `module:name`, the user's module is
            imported as the search did.
        compiled: whether with its optimizer, loss and metrics.

    Raises:
        ValueError: when it holds no model, or code.
    """
    if ":" in model_setting and not Path(model_setting).is_file():
        naming.imported(model_setting, "model")
    import_registered()
    try:
        zipfile.ZipFile(path).close()
        return keras.models.load_model(path, compile=compiled, safe_mode=True)
    except (
        zipfile.BadZipFile,
        ImportError,
        KeyError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} is not a model that Keras loads in safe mode: {why}") from error
