"""What is known of data and model before anything is trained."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import keras
import keras_tuner
import numpy as np

from kerastune.data.augmentation import is_image
from kerastune.models import (
    compiling,
    fingerprint,
    fixed_batches,
    hypermodels,
    input_scale,
    layer_groups,
    pretrained,
    recipe_checks,
    regularization,
    saved_models,
    scoring,
)
from kerastune.models.hypermodels import shapes
from kerastune.objective import Objective
from kerastune.playbook.context import Facts
from kerastune.playbook.rules import bag, expected_gain
from kerastune.playbook.stages.ensemble import Ensemble
from kerastune.playbook.stages.finetune import FineTune
from kerastune.playbook.stages.model import Model
from kerastune.problem import OTHER, Problem, labels
from kerastune.recipe import Recipe
from kerastune.training.segment_callback import CHUNK
from kerastune.training.trainer import Trainer
from kerastune.tuner import samplers
from kerastune.tuner.idioms import optimizer_hyperparameters
from kerastune.tuner.idioms.optimizer_hyperparameters import OptimizerHyperparameters
from kerastune.tuner.settings import Settings

MOST_IN_BAG = 20_000  # training and validation examples, of which folds are learnt from
LEAST_OF_CLASS = 5  # of them, so that every fold has one
# Why training and validation part are not cut anew, together, by how they were cut.
APART = {
    "": "the validation part was given",
    "time": "the validation part is the latest",
    "groups": "the validation part holds whole groups",
    "end": "examples are learnt from in their order",
}


@dataclasses.dataclass(frozen=True)
class FirstLook:
    """What a search knows of data and model when it begins.

    Args:
        facts: that stages are told.
        recipe: that the first stage starts from, with every hyperparameter of the model named.
        architecture: a short text that changes when architecture, loss or metrics do.
        notes: on how the model is compiled, built and saved, a sentence each.
    """

    facts: Facts
    recipe: Recipe
    architecture: str
    notes: tuple[str, ...] = ()


def look(
    problem: Problem,
    hypermodel: keras_tuner.HyperModel,
    build: Callable[[dict[str, Any]], keras.Model],
    space: keras_tuner.HyperParameters,
    settings: Settings,
) -> FirstLook:
    """Builds the model and looks at it and at the data.

    Args:
        problem: the prepared data.
        hypermodel: what `build` calls; a pretrained one is suited to the data.
        build: makes a model from its hyperparameters.
        space: these hyperparameters.
        settings: of the search.

    Raises:
        ValueError: for an objective that is not measured, a model that has nothing to train, or a
            recipe that does not fit the model.
    """
    if isinstance(hypermodel, hypermodels.Pretrained):
        hypermodel.suit(problem)
    trainer = Trainer(problem, build, Objective("loss", "min"))
    recipe = with_all_hyperparameters(settings.recipe, space)
    loaded = {}
    if settings.runs(FineTune):
        loaded = _loaded(trainer, recipe, settings.seed)
        recipe = _frozen(recipe, **loaded)
    model = trainer.ready_model(recipe)
    check_trainable(model)
    fixed_batches.check(model, problem.batch_size)
    notes = (*input_scale.notes(model, problem.validation.x), *_compiled_with(model))
    architecture = fingerprint.of_model(model)
    regularized = bool(regularization.find_regularizers(model))
    wanted = settings.objective.name if settings.objective else None
    compiling.compile_for(model, problem, "sgd", watch=True, objective=wanted)
    check_loss(model, problem)
    objective = settings.objective or compiling.default_objective(model, problem)
    compiling.check_objective(objective, model, problem.kind)
    facts, members = of(problem, objective, model), settings.ensemble
    # Who asks for fewer wants a small ensemble.
    holds_bag = settings.runs(Ensemble) and members.members >= bag.FOLDS and not members.folds
    facts = dataclasses.replace(
        facts,
        bags=facts.bags and holds_bag,
        regularized=regularized,
        most_epochs=settings.limits.epochs or 0,
        fixed_batch_size=settings.limits.fixes_batch_size,
        starting_recipe=getattr(hypermodel, "starting_recipe", {}),
        starting_steps=getattr(hypermodel, "starting_steps", 0),
        given=settings.given,
        **loaded,
    )
    recipe_checks.check(recipe, facts.unusable)
    layer_groups.check(model, recipe)
    notes = (*notes, *_saving(model, hypermodel))
    if settings.runs(Ensemble) and (why := why_no_bag(problem)):
        told = (
            "Models of the ensemble learn from the training part alone, and not from folds of all "
        )
        notes = (*notes, f"{told}examples, since {why}.")
    return FirstLook(facts, recipe, architecture, notes)


def _compiled_with(model: keras.Model) -> tuple[str, ...]:
    """What of `compile` holds for the final model only, or costs time."""
    settings = model._compile_config.config if model.compiled else {}
    steps, notes = settings.get("steps_per_execution") or 1, []
    if steps != 1:
        notes.append(
            f"steps_per_execution={steps} is kept for the final model; the search itself runs "
            f"{CHUNK} steps in one call."
        )
    if settings.get("run_eagerly"):
        notes.append("run_eagerly=True is kept, also for the search: its steps take much longer.")
    return tuple(notes)


def _saving(model: keras.Model, hypermodel: keras_tuner.HyperModel) -> tuple[str, ...]:
    """Tries whether the user's model can be saved and loaded, before anything is trained."""
    if hypermodels.is_built_in(hypermodel):
        return ()
    if why := saved_models.why_not_saved(model):
        note = f"The model can't be saved and loaded as a whole ({why}): its weights are saved, "
        return (note + "for `model.load_weights` of a model that you build.",)
    if modules := saved_models.modules_of(model):
        return (f"Import {', '.join(modules)} before you load the saved model.",)
    return ()


def of_optimizer(
    problem: Problem,
    build: Callable[[dict[str, Any]], keras.Model],
    space: keras_tuner.HyperParameters,
    settings: Settings,
) -> OptimizerHyperparameters:
    """The hyperparameters that feed only the optimizer.

    Raises:
        ValueError: for one that changes the loss, where it is to be searched.
    """
    trainer = Trainer(problem, build, Objective("loss", "min"))

    def ready(values: dict[str, Any]) -> keras.Model:
        return trainer.ready_model(settings.recipe.replace(hyperparameters=values))

    return optimizer_hyperparameters.look(ready, space, compares=settings.runs(Model))


def check_trainable(model: keras.Model) -> None:
    """Refuses a model without a weight to train.

    Raises:
        ValueError: in one line.

    Example:
        >>> check_trainable(keras.Sequential([keras.Input([4]), keras.layers.ReLU()], name="fixed"))
        Traceback (most recent call last):
        ValueError: model `fixed` has no weights to train (0 of 0 parameters): set `trainable` ...
    """
    if model.trainable_variables:
        return
    raise ValueError(
        f"model `{model.name}` has no weights to train (0 of {model.count_params():,} parameters): "
        "set `trainable` of some layers to True."
    )


def check_loss(model: keras.Model, problem: Problem) -> None:
    """Tries whether a model that says itself what it learns can be judged on the data.

    Args:
        model: built and compiled.
        problem: whose first validation examples are evaluated.

    Raises:
        ValueError: in one line, with what Keras said.
    """
    own = any(
        getattr(type(model), name) is not getattr(keras.Model, name)
        for name in ("train_step", "test_step", "compute_loss")
    )
    if problem.kind != OTHER and not own:
        return
    few = problem.validation.take(np.arange(min(2, len(problem.validation))))
    try:
        measured = scoring.measured(model, few)
    except (KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        said = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
        raise ValueError(
            f"model `{model.name}` can't be judged on the validation part ({said}); compile it "
            "with a loss for these targets, or give it a `compute_loss` or `test_step`."
        ) from error
    if "loss" not in measured:
        raise ValueError(
            f"the `test_step` of model `{model.name}` gives {', '.join(measured) or 'nothing'}, "
            "expected a value called loss, which kerastune goes by."
        )


def of(problem: Problem, objective: Objective, model: keras.Model) -> Facts:
    """The facts of a problem and a model that was compiled for it; without what may be spent."""
    num_train = shapes.num_examples(problem) or 0
    return Facts(
        num_train=num_train,
        num_validation=len(problem.validation),
        objective=objective,
        allowance=0,
        num_classes=problem.num_classes,
        imbalanced=problem.imbalanced,
        num_parameters=model.count_params(),
        scored_by=scoring.scored_by(model, problem, objective),
        unusable=recipe_checks.unusable(model, problem),
        data=_data(problem, num_train),
        guess=_guess(problem),
        bags=_is_small(problem) and not why_no_bag(problem),
    )


def why_no_bag(problem: Problem) -> str:
    """Why training and validation part of small data may not be cut anew, together; empty where
    they may, or data are not small.

    Example:
        >>> from kerastune.problem import Part
        >>> part = Part(np.zeros([10, 2]), np.arange(10) % 2)
        >>> problem = Problem("toy", "classification", part, part, class_names=("a", "b"))
        >>> why_no_bag(problem), why_no_bag(dataclasses.replace(problem, cut="random"))
        ('the validation part was given', '')
    """
    if not _is_small(problem):
        return ""
    return APART.get(problem.cut, "" if problem.shuffled else APART["end"])


def _is_small(problem: Problem) -> bool:
    """Whether data are so few that all of them are needed for training, and enough for folds."""
    if problem.train is None or problem.kind == OTHER:
        return False
    parts = problem.train, problem.validation
    if sum(map(len, parts)) > MOST_IN_BAG:
        return False
    if problem.kind == "regression":
        return sum(map(len, parts)) >= LEAST_OF_CLASS
    counts = np.bincount(np.concatenate([labels(part.y) for part in parts]))
    return bool(counts[counts > 0].min() >= LEAST_OF_CLASS)


def _guess(problem: Problem) -> float:
    """About the loss of a guess that looks at no input, by the losses that are usual."""
    if problem.kind == OTHER:
        return math.inf
    if problem.kind == "classification":
        return math.log(problem.num_classes)
    return float(np.mean(np.square(problem.target_std)))


def _data(problem: Problem, num_train: int) -> str:
    """Kind and size of the data, for what is known of other data like that."""
    kind = "regression" if problem.kind == "regression" else _inputs(problem)
    return kind + expected_gain.SMALL * (0 < num_train < expected_gain.LARGE)


def _inputs(problem: Problem) -> str:
    arrays = keras.tree.flatten(problem.validation.x)
    if any(is_image(array) for array in arrays):
        return "image"
    if shapes.texts(problem):
        return "other"  # gains with texts were recorded of another network
    if any(array.dtype.kind in "US" for array in arrays):
        return "text"
    ranks = {array.ndim for array in arrays}
    return "series" if 3 in ranks else "table" if ranks <= {1, 2} else "other"


def with_all_hyperparameters(recipe: Recipe, space: keras_tuner.HyperParameters) -> Recipe:
    """The recipe with a value for every hyperparameter of the model."""
    given = recipe.hyperparameters
    return recipe.replace(hyperparameters={**samplers.completed(space, given), **given})


def _loaded(trainer: Trainer, recipe: Recipe, seed: int) -> dict[str, int]:
    """How many levels of layers a model has, and how many of them came with their weights."""
    levels, loaded = pretrained.loaded_levels(lambda: trainer.ready_model(recipe), seed)
    # Of a network that has no new layer at its end, the last one is the head.
    return {"levels": levels, "pretrained": min(loaded, max(levels - 1, 0))}


def _frozen(recipe: Recipe, levels: int, pretrained: int) -> Recipe:
    """The recipe with what was loaded frozen, until stage `finetune` says otherwise."""
    if not pretrained or recipe.frozen:
        return recipe
    return recipe.replace(frozen=pretrained, head=levels - pretrained)


def layers(model: keras.Model) -> str:
    """A model's layers in lines: name, kind, shape of the output, parameters.

    Example:
        >>> print(layers(keras.Sequential([keras.Input([3]), keras.layers.Dense(2, name="out")])))
        out                       Dense                 (None, 2)                    8
    """
    rows = [(each.name, type(each).__name__, _output(each), _count(each)) for each in model.layers]
    return "\n".join(
        f"{name:25} {kind:21} {shape:20} {count:>9,}" for name, kind, shape, count in rows
    )


def _output(layer: keras.Layer) -> str:
    try:
        return str(keras.tree.map_structure(lambda each: tuple(each.shape), layer.output))
    except (AttributeError, ValueError):
        return "?"  # it was called several times, or never by itself


def _count(layer: keras.Layer) -> int:
    return layer.count_params() if layer.built else 0
