"""Trains a recipe for a number of steps with stock Keras, and gives an outcome.

One compiled model serves every trial of the same architecture, optimizer kind and set of
regularizers: weights and optimizer state are put back, and what differs between trials is a
variable or data. Nothing is traced again.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerastune.callbacks import magnitude_pruning
from kerastune.data import folds
from kerastune.data.batches import Batches
from kerastune.inference import any_outputs
from kerastune.models import (
    compiling,
    layer_groups,
    model_inputs,
    output_kind,
    pruning,
    regularization,
)
from kerastune.models.fixed_batches import KeptStates
from kerastune.objective import Objective
from kerastune.problem import OTHER, Problem
from kerastune.recipe import Recipe
from kerastune.training import optimizers, validation_scores
from kerastune.training.compiled_model import Compiled, assign, compile_recipe, sample, trace_key
from kerastune.training.distillation import Teaching
from kerastune.training.initial_values import InitialValues
from kerastune.training.pace import Paces
from kerastune.training.segment_callback import CHUNK, Segment
from kerastune.training.user_callbacks import UserCallbacks
from kerastune.training.xla_choice import XlaChoice
from kerastune.trial import Outcome, State, TrialSpec

MOST_COMPILED = 16  # models that are kept compiled; stage `model` tries many networks


class Trainer:
    """Trains trial specs on one problem.

    Args:
        problem: the prepared data.
        build: makes a model from a dict of the user's hyperparameter values, compiled or not, a new
            one at each call.
        objective: the validation value that chooses the best weights.
        callbacks: Keras callbacks of the user's; every trial gets its own copies.
        on_steps: called with the number of steps just done, about every chunk.
        seconds_left: called at every chunk; training stops where it gives 0 or less, and one that
            follows the clock ends just before.

    Example:
        >>> trainer = Trainer(problem, build=lambda hyperparameters: make_model())  # doctest: +SKIP
        >>> outcome, state, best = trainer.run(
        ...     TrialSpec("a", "lr", Recipe(), start=0, until=100)
        ... )  # doctest: +SKIP
    """

    def __init__(
        self,
        problem: Problem,
        build: Callable[[dict], keras.Model],
        objective: Objective,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        on_steps: Callable[[int], None] = lambda steps: None,
        seconds_left: Callable[[], float] = lambda: math.inf,
    ):
        self.problem = problem
        self.build = build
        self.objective = objective
        self.callbacks = list(callbacks)
        self.on_steps = on_steps
        self.seconds_left = seconds_left
        self.most_steps: Callable[[int], float] = _unlimited  # by batch size
        # Of trials with a `mix` above 0; set before the first of them.
        self.teacher: keras.Model | None = None
        self._batches = Batches(problem)
        self._fold: tuple[tuple[int, ...], Problem, Batches] | None = None  # the last one
        self._own_callbacks = UserCallbacks(self.callbacks)
        self._compiled: dict[tuple, Compiled] = {}
        self._initial = InitialValues()
        self._paces = Paces()
        self.xla = XlaChoice()

    def on(self, problem: Problem) -> Trainer:
        """A trainer of the same networks on other examples.

        It shares what is compiled and traced already.

        Args:
            problem: with inputs and targets of the same shapes, and about as imbalanced as that of
                this trainer.
        """
        other = copy.copy(self)
        other.problem, other._batches = problem, Batches(problem)
        other._own_callbacks = UserCallbacks(self.callbacks)
        other._fold = None
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
                f"the segment starts at step {spec.start}, but its checkpoint is of step "
                f"{state and state.step}."
            )
        began = time.monotonic()
        member = self.compiled(spec.recipe, spec.sparsity > 0, spec.mix > 0)
        state = state or State(0, self.initial_state(spec.recipe), [])
        member.restore(state)
        member.configure(spec)
        of_part = self._on_fold(spec) if spec.repeat else self
        note = self.xla.note(member, spec, of_part._fit)
        self._seed(spec.recipe.seed)
        run = Segment(member, spec, self, state.first_loss)
        if self.callbacks:
            member.save_as(spec.recipe)
        self._paces.choose(member, self.problem, spec.recipe)
        traces = member.recorder is None
        prunes = magnitude_pruning.over(spec.sparsity, spec.recipe.total_steps)
        of_part._fit(member, spec, [run, *prunes, *self._own_callbacks.of(spec)])
        outcome = self._told(run.outcome(), note)
        if not traces or len(run.chunks) > 1:
            self._paces.add(spec.recipe, outcome.seconds_per_step)
        last = member.state(spec.start + outcome.steps, run.first_loss)
        if run.best is not None:
            outcome = dataclasses.replace(
                outcome, **of_part._by_example(member, run.best, spec.recipe.flip)
            )
        return dataclasses.replace(outcome, seconds=time.monotonic() - began), last, run.best

    def _on_fold(self, spec: TrialSpec) -> Trainer:
        """This trainer on what a trial with a `repeat` learns from and is evaluated on."""
        cut = spec.folds, spec.left_out, spec.repeat
        if self._fold is None or self._fold[0] != cut:
            problem = folds.problem_of(self.problem, *cut)
            self._fold = cut, problem, Batches(problem)
        other = copy.copy(self)
        _, other.problem, other._batches = self._fold
        return other

    def _told(self, outcome: Outcome, note: str = "") -> Outcome:
        """An outcome that tells which of the user's callbacks stopped it, if one did."""
        by, step = self._own_callbacks.stopped_by, outcome.spec.start + outcome.steps
        stopped = f"stopped by {by} at step {step}" if by and step < outcome.spec.until else ""
        notes = (*outcome.notes, *filter(None, [note, stopped]))
        return dataclasses.replace(outcome, notes=notes)

    def outputs(self, recipe: Recipe, state: State, x: Any) -> np.ndarray:
        """Outputs of a recipe's model with the weights of a state.

        For prepared inputs, `[n, outputs]` in float32; `any_outputs.rows` for targets of kind
        `"other"`.
        """
        model = self.compiled(recipe).model
        assign(model.variables, state.model)
        if self.problem.kind == OTHER:
            return any_outputs.predict(model, x)
        return output_kind.predict(model, x)

    def compiled(self, recipe: Recipe, pruned: bool = False, taught: bool = False) -> Compiled:
        """The compiled model of a recipe, made at its first use.

        One for every architecture, optimizer kind and set of regularizers; see `trace_key`.
        """
        architecture = trace_key(recipe, pruned, taught)
        key = (*architecture, recipe.regularizers)
        if key not in self._compiled:
            while len(self._compiled) >= MOST_COMPILED:
                self._compiled.pop(next(iter(self._compiled)))
            keras.utils.set_random_seed(recipe.seed)
            self._compiled[key] = compile_recipe(
                self.ready_model(recipe), self.problem, recipe, self.objective.name
            )
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
        """Values of `model.variables` at step 0.

        Weights by the recipe's seed and initializers, then random states.
        """
        return self._initial.of(recipe, self.ready_model)

    def ready_model(self, recipe: Recipe) -> keras.Model:
        """A new model of the recipe's hyperparameters, with its weights made."""
        model = self.build(recipe.hyperparameters)
        model_inputs.build(model, self.problem.validation.x)
        regularization.make_dropout_tunable(model)
        return model

    def finished_model(self, recipe: Recipe, state: State, trains: bool = True) -> keras.Model:
        """A model of its own with the weights of a state, under a stock Keras optimizer.

        As its builder made it, but for a dropout rate of the recipe's, and what the recipe froze.
        Where it `trains`, its optimizer is built, so that a saved model loads without a warning.
        """
        model = self.ready_model(recipe)
        layer_groups.freeze(layer_groups.levels(model), recipe)
        if recipe.dropout is not None:
            regularization.set_dropout(model, recipe.dropout)
        compiling.compile_for(
            model,
            self.problem,
            optimizers.stock(recipe, **optimizers.kept_settings(model, recipe.optimizer)),
        )
        if trains:
            model.optimizer.build(model.trainable_variables)
        assign(model.variables, state.model)
        return model

    def _taught(self, model: keras.Model) -> Teaching:
        teaching = Teaching(
            model,
            self.teacher,
            temperature=1.0,
            mix=1.0,
            sample=sample(self.problem.validation.x, model),
        )
        teaching.install()
        return teaching

    def _seed(self, seed: int) -> None:
        """Sets the seeds that a training may still draw from.

        Those of Keras's layers are among the variables.

        TensorFlow's own is set for a stream only, whose shuffling depends on it: setting it drops
        all compiled kernels, which costs the next call of the train function a quarter of a second.
        """
        random.seed(seed)
        np.random.seed(seed)
        if self.problem.stream is not None:
            tf.random.set_seed(seed)

    def _by_example(self, member: Compiled, best: State, flip: bool) -> dict[str, np.ndarray]:
        assign(member.model.variables, best.model)
        known = member.known_outputs(self.problem)
        return validation_scores.by_example(member.model, self.problem, self.objective, known, flip)

    def _end(self, spec: TrialSpec) -> int:
        """The step at which a segment ends, the limit of all trainings observed.

        Beyond one evaluation they are whole evaluations.
        """
        most = self.most_steps(spec.recipe.batch_size)
        if spec.until <= most:
            return spec.until
        steps = max(int(most) - spec.start, 1)
        if spec.eval_every and steps > spec.eval_every:
            steps = steps // spec.eval_every * spec.eval_every
        return spec.start + steps

    def _in_step(
        self, member: Compiled, spec: TrialSpec, rows: np.ndarray | None
    ) -> np.ndarray | None:
        """The examples of a stateful model: whole batches, so that every epoch begins with one."""
        size, is_stream = spec.recipe.batch_size, self.problem.stream is not None
        if rows is None and not is_stream:
            rows = np.arange(len(self.problem.train), dtype=np.int32)
        count = int(self.problem.stream.cardinality()) if is_stream else len(rows)
        # A stream starts again, and with it an epoch.
        member.states.begin(0 if is_stream else spec.start, count // size)
        return None if is_stream else rows[: count // size * size]

    def _fit(self, member: Compiled, spec: TrialSpec, callbacks) -> None:
        recipe, until = spec.recipe, self._end(spec)
        steps = until - spec.start
        every = min(spec.eval_every or steps, steps)
        cuts = spec.folds and not spec.repeat
        rows = folds.training_rows(self.problem, spec.folds, spec.left_out) if cuts else None
        if member.states is not None:
            rows, callbacks = self._in_step(member, spec, rows), [*callbacks, KeptStates()]
        changes = recipe.augmentation, recipe.flip, recipe.class_weights
        batches = self._batches.training(
            recipe.batch_size, recipe.seed, spec.start, until, *changes, rows=rows
        )
        member.record(batches.element_spec)
        member.model.fit(
            batches,
            epochs=spec.start // every + steps // every if spec.eval_every else 1,
            initial_epoch=spec.start // every if spec.eval_every else 0,
            steps_per_epoch=every if every < steps else None,
            validation_data=self._batches.validation() if spec.eval_every else None,
            callbacks=callbacks,
            shuffle=False,  # the order is ours
            verbose=0,
        )


def _unlimited(batch_size: int) -> float:
    return math.inf
