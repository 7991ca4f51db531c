"""The trainer: trains a recipe for a number of steps with stock Keras underneath, and gives back an
outcome.

One compiled model serves every trial of the same architecture, optimizer kind and set of
regularizers: weights and optimizer state are put back, and what differs between trials is a
variable or data. Nothing is traced again.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import random
import time
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from kerastune import trial
from kerastune.analysis import ensemble_selection
from kerastune.callbacks.magnitude_pruning import MagnitudePruning
from kerastune.data import folds
from kerastune.data.batches import Batches
from kerastune.inference import tta
from kerastune.inference.views import Flip
from kerastune.models import (
    compiling,
    initializers,
    layer_groups,
    output_kind,
    pruning,
    regularization,
    scoring,
)
from kerastune.models.label_smoothing import LabelSmoothing
from kerastune.problem import Problem, labels
from kerastune.recipe import Recipe
from kerastune.schedules import rates
from kerastune.training import optimizers
from kerastune.training.distillation import Teaching
from kerastune.training.segment_callback import CHUNK, RATIO_EVERY, Segment, values_of
from kerastune.training.step_recorder import StepRecorder
from kerastune.trial import Outcome, State, TrialSpec

PRUNING_CHANGES = 20  # of the sparsity, at most, until it is reached
MOST_COMPILED = 16  # models that are kept compiled; stage `model` tries many networks


@dataclasses.dataclass
class Compiled:
    """A compiled model that serves many trials, with its recorder and what a fresh start needs."""

    model: keras.Model
    fresh_optimizer: list[np.ndarray]
    regularized: bool
    levels: layer_groups.Levels
    recorder: StepRecorder | None = None
    teaching: Teaching | None = None

    def state(self, step: int, first_loss: float) -> State:
        """The present state, to go on from."""
        return State(
            step,
            values_of(self.model.variables),
            values_of(self.model.optimizer.variables),
            first_loss,
        )

    def restore(self, state: State) -> None:
        """Puts a state back, in place."""
        _assign(self.model.variables, state.model)
        _assign(self.model.optimizer.variables, state.optimizer)

    def record(self, batch) -> None:
        """Gives the model a recorder, if it has none, for batches such as this one (`element_spec`
        of a dataset).
        """
        if self.recorder is None:
            self.recorder = StepRecorder(self.model, CHUNK, RATIO_EVERY)
            self.recorder.install()
            self.recorder.prepare(batch)


class Trainer:
    """Trains trial specs on one problem.

    Args:
        problem: the prepared data.
        build: makes a model from a dict of the user's hyperparameter values, compiled or not, a new
            one at each call.
        objective: the validation value that chooses the best weights.
        callbacks: Keras callbacks of the user's; every trial gets its own copies.
        on_steps: called with the number of steps just done, about every chunk.
        deadline: called at every chunk; training stops there when it gives `True`.

    Example:
        >>> trainer = Trainer(problem, build=lambda hyperparameters: make_model())  # doctest: +SKIP
        >>> outcome, state, best = trainer.run(TrialSpec("a", "lr", Recipe(), start=0, until=100))  # doctest: +SKIP
    """

    def __init__(
        self,
        problem: Problem,
        build: Callable[[dict], keras.Model],
        objective: trial.Objective,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        on_steps: Callable[[int], None] = lambda steps: None,
        deadline: Callable[[], bool] = lambda: False,
    ):
        self.problem = problem
        self.build = build
        self.objective = objective
        self.callbacks = list(callbacks)
        self.on_steps = on_steps
        self.deadline = deadline
        self.teacher: keras.Model | None = (
            None  # of trials with a `mix` above 0; set before the first of them
        )
        self._batches = Batches(problem)
        self._copies: dict[str, list[keras.callbacks.Callback]] = {}
        self._compiled: dict[tuple, Compiled] = {}
        self._initial: dict[tuple, list[np.ndarray]] = {}

    def on(self, problem: Problem) -> Trainer:
        """A trainer of the same networks on other examples, which shares what is compiled and
        traced already.

        Args:
            problem: with inputs and targets of the same shapes, and about as imbalanced as that of
                this trainer.
        """
        other = copy.copy(self)
        other.problem, other._batches, other._copies, other._initial = (
            problem,
            Batches(problem),
            {},
            {},
        )
        return other

    def run(
        self, spec: TrialSpec, state: State | None = None
    ) -> tuple[Outcome, State, State | None]:
        """Trains one segment.

        Args:
            spec: what to train.
            state: where to go on; needed when `spec.start` is not 0, or another trial's weights are
                set out from: without values of the optimizer, it begins afresh.

        Returns:
            The outcome of this segment alone, the state at its end, and the weights of its best
            evaluation when
            `spec.keep_best` (`None` when nothing was evaluated or the run diverged before it).

        Raises:
            ValueError: when a state is missing or belongs to another step, or evaluations fall
                inside a chunk.
        """
        if spec.eval_every % CHUNK and spec.eval_every < spec.until - spec.start:
            raise ValueError(
                f"`eval_every` ({spec.eval_every}) must be a multiple of {CHUNK} steps."
            )
        if (state.step if state else 0) != spec.start:
            raise ValueError(
                f"the segment starts at step {spec.start}, its checkpoint is of "
                f"{state and state.step}."
            )
        began = time.monotonic()
        member = self.compiled(spec.recipe, spec.sparsity > 0, spec.mix > 0)
        state = state or State(0, self.initial_state(spec.recipe), [])
        member.restore(
            state
            if state.optimizer
            else dataclasses.replace(state, optimizer=member.fresh_optimizer)
        )
        optimizers.configure(
            member.model.optimizer,
            rates(spec.recipe),
            spec.recipe.momentum,
            spec.recipe.weight_decay,
        )
        if layer_groups.is_layered(spec.recipe):
            by_layer = layer_groups.multipliers(member.model, member.levels, spec.recipe)
            optimizers.configure_layers(
                member.model.optimizer, by_layer, layer_groups.head_steps(spec.recipe)
            )
        if spec.recipe.label_smoothing:
            member.model.loss.strength.assign(spec.recipe.label_smoothing)
        if member.teaching is not None:
            member.teaching.set(spec.temperature, spec.mix)
        self._seed(spec.recipe.seed)
        run = Segment(member, spec, self, state.first_loss)
        self._fit(member, spec, [run, *_pruning(spec), *self._users_callbacks(spec)])
        outcome = run.outcome()
        last = member.state(spec.start + outcome.steps, run.first_loss)
        if run.best is not None:
            outcome = dataclasses.replace(
                outcome, **self._by_example(member.model, run.best, spec.recipe.flip)
            )
        return dataclasses.replace(outcome, seconds=time.monotonic() - began), last, run.best

    def outputs(self, recipe: Recipe, state: State, x) -> np.ndarray:
        """What a recipe's model gives with the weights of a state for prepared inputs, `[n,
        outputs]` in float32.
        """
        model = self.compiled(recipe).model
        _assign(model.variables, state.model)
        return output_kind.predict(model, x)

    def compiled(self, recipe: Recipe, pruned: bool = False, taught: bool = False) -> Compiled:
        """The compiled model of a recipe's architecture, optimizer kind and regularizers, made at
        its first use.

        One that is pruned has masks, one that is taught another loss: each is traced for itself. A
        dropout rate and what is frozen are constants of what is traced; strengths of weight decay
        and label smoothing are variables, and so are the rates of layers.
        """
        architecture = (
            json.dumps(recipe.hyperparameters, sort_keys=True),
            recipe.optimizer,
            recipe.nesterov,
            recipe.weight_decay > 0,
            recipe.label_smoothing > 0,
            recipe.class_weights,
            recipe.dropout if recipe.regularizers == "on" else None,
            recipe.frozen,
            recipe.head if recipe.head_fraction else 0,  # whose BatchNorms rest
            layer_groups.is_layered(recipe),
            *(pruned, taught),
        )
        key = (*architecture, recipe.regularizers)
        if key not in self._compiled:
            while len(self._compiled) >= MOST_COMPILED:
                self._compiled.pop(next(iter(self._compiled)))
            self._compiled[key] = self._compile(recipe)
            if pruned:
                pruning.install(self._compiled[key].model)
            if taught:
                self._compiled[key].teaching = self._taught(self._compiled[key].model)
            if not self._compiled[key].regularized:
                # On or off is the same trace for a model that has none.
                self._compiled |= {
                    (*architecture, setting): self._compiled[key] for setting in ("on", "off")
                }
        return self._compiled[key]

    def initial_state(self, recipe: Recipe) -> list[np.ndarray]:
        """Values of `model.variables` at step 0: weights by the recipe's seed and initializers,
        then random states.
        """
        key = (json.dumps(recipe.hyperparameters, sort_keys=True), recipe.seed, recipe.initializers)
        if key not in self._initial:
            # One at a time: the probe's seeds are not asked for again, and weights may be large.
            self._initial.clear()
            self._initial[key] = values_of(self._fresh_model(recipe).variables)
        return self._initial[key]

    def _fresh_model(self, recipe: Recipe) -> keras.Model:
        if recipe.initializers == "auto":
            return initializers.build_initialized(lambda: self.ready_model(recipe), recipe.seed)
        keras.utils.set_random_seed(recipe.seed)
        return self.ready_model(recipe)

    def ready_model(self, recipe: Recipe) -> keras.Model:
        """A new model of the recipe's hyperparameters, with its weights made."""
        model = self.build(recipe.hyperparameters)
        if not model.built:
            x = self.problem.validation.x
            model(keras.tree.map_structure(lambda array: array[:1], x))
        regularization.make_dropout_tunable(model)
        return model

    def finished_model(self, recipe: Recipe, state: State) -> keras.Model:
        """A model of its own with the weights of a state, as its builder made it, under a stock
        Keras optimizer.

        Only a dropout rate of the recipe's takes the place of the builder's, and what the recipe
        froze is frozen.
        """
        model = self.ready_model(recipe)
        layer_groups.freeze(layer_groups.levels(model), recipe)
        if recipe.dropout is not None:
            regularization.set_dropout(model, recipe.dropout)
        compiling.compile_for(
            model, self.problem, optimizers.stock(recipe, **optimizers.kept_settings(model))
        )
        # Built, so that a saved model loads without a warning about its optimizer.
        model.optimizer.build(model.trainable_variables)
        _assign(model.variables, state.model)
        return model

    def _compile(self, recipe: Recipe) -> Compiled:
        keras.utils.set_random_seed(recipe.seed)
        model = self.ready_model(recipe)
        layer_groups.check(model, recipe)
        levels = layer_groups.levels(model)
        layer_groups.freeze(levels, recipe)
        regularized = bool(regularization.find_regularizers(model))
        if recipe.regularizers == "off":
            regularization.switch_regularizers_off(model, sample(self.problem.validation.x))
        elif recipe.dropout is not None:
            regularization.set_dropout(model, recipe.dropout)
        settings = {"layered": layer_groups.is_layered(recipe), **optimizers.kept_settings(model)}
        optimizer = optimizers.tunable(recipe.optimizer, recipe.nesterov, **settings)
        if recipe.weight_decay:
            optimizer = optimizers.decayed(optimizer, model)
        smoothed = recipe.label_smoothing > 0
        compiling.compile_for(
            model,
            self.problem,
            optimizer,
            steps_per_execution=CHUNK,
            watch=True,
            smoothed=smoothed,
            objective=self.objective.name,
        )
        if smoothed:
            LabelSmoothing(model).install()
        model.optimizer.build(model.trainable_variables)
        return Compiled(model, values_of(model.optimizer.variables), regularized, levels)

    def _taught(self, model: keras.Model) -> Teaching:
        teaching = Teaching(
            model, self.teacher, temperature=1.0, mix=1.0, sample=sample(self.problem.validation.x)
        )
        teaching.install()
        return teaching

    def _users_callbacks(self, spec: TrialSpec) -> list[keras.callbacks.Callback]:
        """The user's callbacks for one trial; what logs to a directory gets one of the trial's own
        there.
        """
        if spec.start and spec.trial in self._copies:
            for callback in self._copies[spec.trial]:
                if isinstance(callback, keras.callbacks.EarlyStopping):
                    callback.on_train_begin = lambda logs=None: (
                        None
                    )  # it would forget what it waited for
            return self._copies[spec.trial]
        copies = copy.deepcopy(self.callbacks)
        for callback in copies:
            if getattr(callback, "log_dir", None) is not None:
                callback.log_dir = os.path.join(callback.log_dir, spec.trial)
        self._copies[spec.trial] = copies
        return copies

    def _seed(self, seed: int) -> None:
        """Sets the seeds that a training may still draw from; those of Keras's layers are among the
        variables.

        TensorFlow's own is set for a stream only, whose shuffling depends on it: setting it drops
        all compiled kernels, which costs the next call of the train function a quarter of a second.
        """
        random.seed(seed)
        np.random.seed(seed)
        if self.problem.stream is not None:
            tf.random.set_seed(seed)

    def _by_example(self, model, best: State, flip: bool) -> dict[str, np.ndarray]:
        _assign(model.variables, best.model)
        problem, part = self.problem, self.problem.validation
        outputs = output_kind.predict(model, part.x)
        found = {
            "example_scores": scoring.example_scores(model, problem, part, outputs, self.objective)
        }
        if flip:
            both = tta.predictions(model, part.x, {"mirrored": Flip()}, problem.kind)
            targets = (
                labels(part.y)
                if problem.kind == "classification"
                else part.y.reshape(len(part), -1)
            )
            measure = scoring.scored_by(model, problem, self.objective)
            mean = np.mean(list(both.values()), axis=0)
            found["mirrored_scores"] = ensemble_selection.example_scores(mean, targets, measure)
        return found

    def _fit(self, member: Compiled, spec: TrialSpec, callbacks) -> None:
        recipe, steps = spec.recipe, spec.until - spec.start
        every = spec.eval_every or steps
        rows = folds.training_rows(self.problem, spec.folds, spec.left_out) if spec.folds else None
        changes = recipe.augmentation, recipe.flip, recipe.class_weights
        batches = self._batches.training(
            recipe.batch_size, recipe.seed, spec.start, spec.until, *changes, rows=rows
        )
        member.record(batches.element_spec)
        member.model.fit(
            batches,
            epochs=spec.until // every if spec.eval_every else 1,
            initial_epoch=spec.start // every if spec.eval_every else 0,
            steps_per_epoch=every if every < steps else None,
            validation_data=self._batches.validation() if spec.eval_every else None,
            callbacks=callbacks,
            shuffle=False,  # the order is ours
            verbose=0,
        )


def _pruning(spec: TrialSpec) -> list[MagnitudePruning]:
    """What prunes in the first half of a trial, so that the second can make up for it."""
    if not spec.sparsity:
        return []
    half = max(spec.recipe.total_steps // 2, 1)
    return [MagnitudePruning(spec.sparsity, end_step=half, every=max(half // PRUNING_CHANGES, 1))]


def sample(x):
    """The first few examples of inputs, for a look at what a model does."""
    return keras.tree.map_structure(lambda array: array[:8], x)


def _assign(variables, values) -> None:
    if len(variables) != len(values):
        raise ValueError(
            f"the checkpoint holds {len(values)} arrays, the model has {len(variables)} variables."
        )
    for variable, value in zip(variables, values):
        variable.assign(value)
