"""Keras callbacks that work in anyone's `model.fit`, without the rest of kerastune."""

from kerastune.callbacks.cosine_decay import CosineDecay
from kerastune.callbacks.distillation import Distillation
from kerastune.callbacks.ensemble_evaluation import EnsembleEvaluation
from kerastune.callbacks.exponential_decay import ExponentialDecay
from kerastune.callbacks.linear_decay import LinearDecay
from kerastune.callbacks.magnitude_pruning import MagnitudePruning
from kerastune.callbacks.step_logger import StepLogger
from kerastune.callbacks.tta_evaluation import TTAEvaluation
from kerastune.callbacks.update_ratio import UpdateRatio

__all__ = [
    "CosineDecay",
    "Distillation",
    "EnsembleEvaluation",
    "ExponentialDecay",
    "LinearDecay",
    "MagnitudePruning",
    "StepLogger",
    "TTAEvaluation",
    "UpdateRatio",
]
