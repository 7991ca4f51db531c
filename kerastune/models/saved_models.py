"""Loads a model that a search has saved."""

from __future__ import annotations

import importlib
import re
import zipfile
from pathlib import Path

import keras

from kerastune.runtime import naming

_OWN_MODULES = re.compile(r'"module": "(kerastune(?:\.\w+)+)"')


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
    try:
        with zipfile.ZipFile(path) as archive:
            own = _OWN_MODULES.findall(archive.read("config.json").decode())
        for module in sorted(set(own)):
            importlib.import_module(module)
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
        raise ValueError(f"{path} is no model that Keras loads in its safe mode: {why}") from error
