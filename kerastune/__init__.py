"""kerastune tunes a Keras network in the order an expert does, and gives a reason for every choice.

Importing this package imports neither TensorFlow nor Keras: names are resolved when they are used.
"""

import importlib

__version__ = "0.1.0"

_WHERE = {
    "Budget": "kerastune.budget",
    "Decision": "kerastune.stages.base",
    "PlaybookTuner": "kerastune.tuner",
    "Recipe": "kerastune.recipe",
    "Task": "kerastune.task",
    "Trainer": "kerastune.training",
    "cross_validate": "kerastune.crossval",
}
_MODULES = ("callbacks", "curves", "data", "ensemble", "pruning", "schedules", "surgery", "tta", "views")

__all__ = [*_WHERE, *_MODULES]


def __getattr__(name):
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"kerastune.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
