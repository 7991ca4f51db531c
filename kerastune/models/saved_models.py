"""Loads saved models whose layers, metrics or schedules may be kerastune's own."""

from __future__ import annotations

import importlib
import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from kerastune.runtime import naming
from kerastune.study.run_directory import RunDir

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


def to_use(run_dir: RunDir, views: bool = True, ensemble: bool = True) -> Path | None:
    """The file of the final model: with views, an ensemble, calibrated or single; else `None`.

    Args:
        run_dir: a search's output directory.
        views: whether views that are averaged may be part of it.
        ensemble: whether an ensemble may.

    Example:
        >>> to_use(RunDir("gone")) is None
        True
    """
    # Views are those of the ensemble, where there is one.
    views = views and (ensemble or not run_dir.ensemble.is_file())
    made = {
        run_dir.tta: views,
        run_dir.ensemble: ensemble,
        run_dir.calibrated: True,
        run_dir.model: True,
    }
    return next((path for path, is_wanted in made.items() if is_wanted and path.is_file()), None)


def why_not_saved(model: keras.Model) -> str:
    """Why a model can't be saved and loaded again, in one line; empty where it can.

    Args:
        model: built; it is saved to a temporary file and loaded.

    Example:
        >>> why_not_saved(keras.Sequential([keras.Input([4]), keras.layers.Dense(2)]))
        ''
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        try:
            model.save(path)
            keras.models.load_model(path, compile=False)
        except Exception as error:  # the code is the user's
            said = [line.strip() for line in str(error).splitlines() if line.strip()]
            return f"{type(error).__name__}: {said[0]}" if said else type(error).__name__
    return ""


def modules_of(model: keras.Model) -> list[str]:
    """Names of the modules that must be imported before a saved model is loaded.

    Example:
        >>> modules_of(keras.Sequential([keras.Input([4]), keras.layers.Dense(2)]))
        []
    """
    found = {module for module in _modules(keras.saving.serialize_keras_object(model)) if module}
    return sorted(
        each for each in found if each.split(".")[0] not in ("keras", "builtins", "kerastune")
    )


def _modules(values: Any) -> Iterator[str | None]:
    if isinstance(values, dict):
        if "registered_name" in values and values.get("class_name") != "__numpy__":
            yield values.get("module") or _registered_in(values["registered_name"])
        values = list(values.values())
    for each in values if isinstance(values, list) else ():
        yield from _modules(each)


def _registered_in(name: str | None) -> str | None:
    registered = keras.saving.get_registered_object(name) if name else None
    return getattr(registered, "__module__", None)
