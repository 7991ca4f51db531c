"""A compiled model that serves every trial of one architecture, optimizer kind and regularizers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kerastune.models import (
    compiling,
    fixed_batches,
    layer_groups,
    output_kind,
    regularization,
)
from kerastune.models.fixed_batches import ResetStates
from kerastune.models.label_smoothing import LabelSmoothing
from kerastune.models.output_kind import OutputKind
from kerastune.problem import Problem
from kerastune.recipe import Recipe
from kerastune.schedules import rates
from kerastune.training import optimizers
from kerastune.training.distillation import Teaching
from kerastune.training.segment_callback import CHUNK, RATIO_EVERY, values_of
from kerastune.training.step_recorder import StepRecorder
from kerastune.trial import State, TrialSpec

LOOKED_AT = 8  # examples


@dataclasses.dataclass
class Compiled:
    """A compiled model that serves many trials, with its recorder and what a fresh start needs.

    Args:
        model: compiled as kerastune trains it.
        fresh: values of `going` at a fresh start.
        regularized: whether the model was built with regularizers.
        levels: its layers with kernels.
        as_built: what it is compiled with where it is saved, but for its optimizer.
        outputs: what they mean, once that was found out.
        recorder: of its steps, once it has one.
        teaching: of a teacher, where it has one.
        states: of layers that are stateful, where it has such.
    """

    model: keras.Model
    fresh: list[np.ndarray]
    regularized: bool
    levels: layer_groups.Levels
    as_built: dict[str, Any]
    outputs: OutputKind | None = None
    recorder: StepRecorder | None = None
    teaching: Teaching | None = None
    states: ResetStates | None = None

    def known_outputs(self, problem: Problem) -> OutputKind:
        """What the model's outputs mean, found out at the first call."""
        if self.outputs is None:
            x = output_kind.first_examples(problem.validation.x)
            self.outputs = output_kind.of(self.model, x, problem.kind)
        return self.outputs

    @property
    def going(self) -> list[keras.Variable]:
        """What a training goes on with besides the model's variables: those of the optimizer, then
        the states of stateful layers.
        """
        return [*self.model.optimizer.variables, *fixed_batches.states_of(self.model)]

    def state(self, step: int, first_loss: float) -> State:
        """The present state, to go on from."""
        return State(step, values_of(self.model.variables), values_of(self.going), first_loss)

    def restore(self, state: State) -> None:
        """Puts a state back, in place; one of weights alone begins afresh otherwise."""
        assign(self.model.variables, state.model)
        assign(self.going, state.optimizer or self.fresh)

    def run_at_once(self, steps: int) -> None:
        """Makes one call of the train function take so many steps, which traces it anew."""
        if self.model.steps_per_execution != steps:
            self.model.steps_per_execution = steps
            self.model.make_train_function(force=True)
            self.model.make_test_function(force=True)

    def configure(self, spec: TrialSpec) -> None:
        """Sets what differs between trials of one trace: schedules, strengths and factors."""
        optimizers.configure(self.model.optimizer, rates(spec.recipe), spec.recipe)
        if layer_groups.is_layered(spec.recipe):
            by_layer = layer_groups.multipliers(self.model, self.levels, spec.recipe)
            optimizers.configure_layers(
                self.model.optimizer, by_layer, layer_groups.head_steps(spec.recipe)
            )
        if spec.recipe.label_smoothing:
            self.model.loss.strength.assign(spec.recipe.label_smoothing)
        if self.teaching is not None:
            self.teaching.set(spec.temperature, spec.mix)

    def save_as(self, recipe: Recipe) -> None:
        """Makes a file that a callback writes of the model hold what its builder compiled.

        With the stock optimizer of a recipe, so that it loads without kerastune.
        """
        optimizer = optimizers.stock_like(self.model.optimizer, recipe)
        kind = type(self.model._compile_config)
        self.model._compile_config = kind(**{**self.as_built, "optimizer": optimizer})

    def record(self, batch: Any) -> None:
        """Gives the model a recorder, if it has none.

        For batches such as this one (`element_spec` of a dataset).
        """
        if self.recorder is None:
            self.recorder = StepRecorder(self.model, CHUNK, RATIO_EVERY)
            self.recorder.install()
            self.recorder.prepare(batch)


def trace_key(recipe: Recipe, pruned: bool, taught: bool) -> tuple:
    """All settings of a recipe that need a trace of their own, but for `regularizers`.

    A pruned model has masks, and one with a teacher another loss. A dropout rate and what is frozen
    are constants of the trace; the strengths of weight decay and label smoothing are variables, and
    so are the learning rates of layers.
    """
    return (
        json.dumps(recipe.hyperparameters, sort_keys=True),
        recipe.optimizer,
        recipe.nesterov,
        recipe.ema > 0,
        recipe.beta_2,
        recipe.weight_decay > 0,
        recipe.label_smoothing > 0,
        recipe.class_weights,
        recipe.dropout if recipe.regularizers == "on" else None,
        recipe.frozen,
        recipe.head if recipe.head_fraction else 0,  # whose BatchNorms rest
        layer_groups.is_layered(recipe),
        pruned,
        taught,
    )


def compile_recipe(
    model: keras.Model, problem: Problem, recipe: Recipe, objective: str
) -> Compiled:
    """Compiles a new model for the trials of a recipe.

    Args:
        model: built, with its weights; changed in place.
        problem: the prepared data.
        recipe: tells optimizer, regularizers, dropout and what is frozen.
        objective: name of the validation value that chooses.
    """
    layer_groups.check(model, recipe)
    levels = layer_groups.levels(model)
    layer_groups.freeze(levels, recipe)
    regularized = bool(regularization.find_regularizers(model))
    if recipe.regularizers == "off":
        regularization.switch_regularizers_off(model, sample(problem.validation.x, model))
    elif recipe.dropout is not None:
        regularization.set_dropout(model, recipe.dropout)
    settings = optimizers.kept_settings(model, recipe.optimizer)
    optimizer = optimizers.tunable(recipe, layer_groups.is_layered(recipe), **settings)
    if recipe.weight_decay:
        optimizer = optimizers.decayed(optimizer, model)
    smoothed = recipe.label_smoothing > 0
    as_built = dict(model._compile_config.config) if model.compiled else {}
    compiling.compile_for(
        model,
        problem,
        optimizer,
        steps_per_execution=CHUNK,
        watch=True,
        smoothed=smoothed,
        objective=objective,
    )
    if smoothed:
        LabelSmoothing(model).install()
    states = ResetStates(model, every=1) if fixed_batches.stateful_layers(model) else None
    if states is not None:
        states.install()
    model.optimizer.build(model.trainable_variables)
    at_zero = [np.zeros(state.shape, state.dtype) for state in fixed_batches.states_of(model)]
    fresh = [*values_of(model.optimizer.variables), *at_zero]
    as_built = as_built or _without_ours(model)
    return Compiled(model, fresh, regularized, levels, as_built, states=states)


def _without_ours(model: keras.Model) -> dict[str, Any]:
    """What kerastune compiled a model with, but for metrics that need kerastune to load."""
    settings = dict(model._compile_config.config)
    metrics = [
        metric
        for metric in settings.get("metrics") or []
        if not type(metric).__module__.startswith("kerastune")
    ]
    return {**settings, "metrics": metrics, "steps_per_execution": 1}


def sample(x: Any, model: keras.Model | None = None) -> Any:
    """The first few examples of inputs, for a look at what a model does; as many as it takes."""
    if model is not None:
        return fixed_batches.few(x, LOOKED_AT, model)
    return keras.tree.map_structure(lambda array: array[:LOOKED_AT], x)


def assign(variables: Sequence[keras.Variable], values: Sequence[np.ndarray]) -> None:
    """Gives variables their values, in place.

    Raises:
        ValueError: when there are more or fewer of them.
    """
    if len(variables) != len(values):
        raise ValueError(
            f"the checkpoint holds {len(values)} arrays, the model has {len(variables)} variables."
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
