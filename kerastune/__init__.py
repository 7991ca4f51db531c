"""kerastune tunes a Keras network in the order an expert does, and gives a reason for every choice.

Importing this package imports neither TensorFlow nor Keras: names are resolved when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerastune.runtime import lazy

if TYPE_CHECKING:
    from kerastune import analysis, callbacks, data, inference, models, schedules
    from kerastune.budget import Budget
    from kerastune.inference.predictor import load
    from kerastune.playbook.decision import Decision
    from kerastune.problem import Problem
    from kerastune.recipe import Recipe
    from kerastune.training.trainer import Trainer
    from kerastune.tuner.cross_validation import cross_validate
    from kerastune.tuner.playbook_tuner import PlaybookTuner

__version__ = "0.1.0"

__all__ = [
    "Budget",
    "Decision",
    "PlaybookTuner",
    "Problem",
    "Recipe",
    "Trainer",
    "analysis",
    "callbacks",
    "cross_validate",
    "data",
    "inference",
    "load",
    "models",
    "schedules",
]

_WHERE = {
    "Budget": "kerastune.budget",
    "Decision": "kerastune.playbook.decision",
    "PlaybookTuner": "kerastune.tuner.playbook_tuner",
    "Problem": "kerastune.problem",
    "Recipe": "kerastune.recipe",
    "Trainer": "kerastune.training.trainer",
    "cross_validate": "kerastune.tuner.cross_validation",
    "load": "kerastune.inference.predictor",
}
_PACKAGES = [name for name in __all__ if name not in _WHERE]

__getattr__ = lazy.attributes(__name__, _WHERE, _PACKAGES)
