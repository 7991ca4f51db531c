"""k-fold cross-validation of a recipe (S4.6): every fold is trained, recorded, judged, and put into
one ensemble.
"""

from __future__ import annotations

import dataclasses
import io
import logging
import os
import zlib
from typing import Any

import keras
import numpy as np

from kerastune.data import checks, cross_validation_set
from kerastune.data.cross_validation_set import Foldable
from kerastune.data.folds import Fold
from kerastune.inference import averaging
from kerastune.models import compiling, fingerprint, hypermodels, recipe_checks
from kerastune.models.hypermodels import shapes
from kerastune.playbook.context import evaluation_interval, rounded_up
from kerastune.playbook.rules import full_training
from kerastune.problem import OTHER, Problem
from kerastune.recipe import Recipe
from kerastune.report import metric_names, writer
from kerastune.report.tensorboard_runs import Story
from kerastune.runtime import devices, logs
from kerastune.runtime.number_format import figure
from kerastune.study import run_directory
from kerastune.study.database import Study
from kerastune.study.run_directory import RunDir
from kerastune.training.trainer import CHUNK, Trainer, sample
from kerastune.trial import Outcome, State
from kerastune.tuner import (
    argument_checks,
    fold_results,
    problem_facts,
    records,
    samplers,
)
from kerastune.tuner.display import progress
from kerastune.tuner.fold_results import Judged
from kerastune.tuner.idioms.objectives import parse_objective

STAGE = "crossval"

logger = logging.getLogger("kerastune")


class CrossValidation:
    """Trains one recipe once for every fold, and tells how well it does on what was held out.

    Standardizing, filled gaps, encoded texts and the scale of targets are fitted to a fold's
    training part alone. What a fold holds out chooses nothing: every training goes on to the
    recipe's last step, and its last weights count. Each has a seed of its own, counted up from the
    recipe's, so that the std includes what weights and batches bring. A recipe that was tuned on
    some of these examples has seen them, and looks a little better than on others.

    Everything trained is in the study database of the output directory: the same cross-validation
    of the same directory goes on where it stopped, and trains nothing again.

    Args:
        model: `"mlp"`, `"cnn"`, `"resnet"`, `"series"`, `"text"` or `"module:name"`, a
            `build(hp)` function or a `keras_tuner.HyperModel`.
        examples: what is folded (`foldable.load`, `foldable.from_arrays`).
        recipe: how to train; its steps are those of every fold.
        num_folds: of one repeat, at least 2.
        repeats: of the whole cut, each shuffled anew.
        seed: of the cuts, at least 0.
        objective: a further validation value to measure, as `"val_auc:max"`.
        directory: parent of the output directory; the working directory by default.
        project_name: name of the output directory in it.
        overwrite: begin anew; only what kerastune itself left is deleted.

    Attributes:
        result: as `crossval.json` has it, once it has run.
        out_of_fold: arrays by name, as `out_of_fold.npz` has them: `predictions` `[repeats, n,
            classes or outputs]` by models that were not trained on the row, `true`, `fold`
            `[repeats, n]` (from 1), `row` (number among the examples given) and `groups`; neither
            predictions nor `true` of several outputs, several labels or dense targets.
        model: one Keras model, the mean of all folds' models; raw inputs in, probabilities or the
            user's units out. `None` for outputs that can't be averaged.

    Raises:
        ValueError: in one line and before any training, for folds that can't be cut or trained on.

    Example:
        >>> examples = foldable.load("wine")  # doctest: +SKIP
        >>> recipe = Recipe(total_steps=500)  # doctest: +SKIP
        >>> crossed = CrossValidation("mlp", examples, recipe, num_folds=5)  # doctest: +SKIP
        >>> crossed.run()["summary"]["accuracy"]["mean"]  # doctest: +SKIP
        0.97
    """

    def __init__(
        self,
        model: Any,
        examples: Foldable,
        recipe: Recipe | None = None,
        num_folds: int = 5,
        repeats: int = 1,
        seed: int = 1,
        objective: str | None = None,
        directory: str | os.PathLike | None = None,
        project_name: str = "crossval",
        overwrite: bool = False,
    ):
        devices.check_supported()
        argument_checks.checked_seed(seed)
        self.run_dir = RunDir(run_directory.project(directory, project_name))
        self.examples, self._model, self._overwrite = examples, model, overwrite
        self._settings = {
            "folds": num_folds,
            "repeats": repeats,
            "seed of the folds": seed,
            "objective": objective or "",
        }
        self.folds = examples.cut(num_folds, repeats, seed)
        self.recipe = self._prepare(recipe or Recipe(), parse_objective(objective))
        self._known: tuple[Any, Trainer] | None = None
        self.result: dict[str, Any] = {}
        self.out_of_fold: dict[str, np.ndarray] = {}
        self.model: keras.Model | None = None

    def run(self, given: dict[str, Any] | None = None, verbose: int = 1) -> dict[str, Any]:
        """Trains what is not trained yet, writes all files, and gives the result.

        Args:
            given: names and values that must stay the same when it goes on.
            verbose: 0 for no line on the screen with the time that is left.

        Raises:
            ValueError: when the directory belongs to something else, or the training of a fold
                diverged.
        """
        self.run_dir.open(self._overwrite)
        clear = self.run_dir.clear if self._overwrite else lambda: None
        with (
            Study(self.run_dir.study, self.run_dir.lock, clear) as study,
            logs.to_file(self.run_dir.log),
            logs.many_models(),
        ):
            study.settings({**(given or {}), **self._settings})
            for note in self.examples.notes:
                logger.info("%s", note)
            known, story = study.outcomes(), Story(self.run_dir)
            story.rewrite(known, [], self.recipe, self._objective.name)
            seeds = range(self.recipe.seed, self.recipe.seed + len(self.folds))
            trained = [
                (fold, self.recipe.replace(seed=seed))
                for fold, seed in zip(self.folds, seeds, strict=True)
            ]
            done = sum(outcome.steps for outcome in known.values())
            with progress.counting(
                len(self.folds) * self.recipe.total_steps, done, verbose
            ) as self._shown:
                judged = [self._run_fold(*each, study, story, known) for each in trained]
            self._finish(judged, given or {})
            if study.fact(writer.ABOUT) is None:
                study.put_fact(writer.ABOUT, self._about)
            story.result(writer.write_folds(self.run_dir, study))
        return self.result

    def _prepare(self, recipe: Recipe, objective) -> Recipe:
        """The whole recipe; prepares every fold, so that what is wrong is told before training."""
        first = self.examples.problem(self.folds[0])
        recipe = recipe.replace(batch_size=first.batch_size or recipe.batch_size)
        checks.check(first, recipe.batch_size)
        for fold in self.folds[1:]:
            checks.check(self.examples.problem(fold), recipe.batch_size)
        # The width of a built-in network follows from the number of examples: all folds have that
        # of the first.
        given = recipe.hyperparameters
        defaults = samplers.completed(
            hypermodels.settled(hypermodels.of(self._model, first), given), given
        )
        steps = rounded_up(recipe.total_steps, CHUNK)
        self._every = evaluation_interval(
            len(first.validation), recipe.batch_size, CHUNK, most=steps
        )
        recipe = recipe.over(rounded_up(steps, self._every)).replace(
            hyperparameters={**defaults, **given}
        )
        self._look_at_model(first, recipe, objective)
        cuts = np.concatenate([fold.held_out for fold in self.folds])
        self._settings |= {
            **recipe.to_dict(),
            "command": STAGE,
            "contents of the data": fingerprint.of_data(first),
            "split into folds": f"{zlib.crc32(np.int64(cuts)):08x}",
        }
        return recipe

    def _look_at_model(self, problem: Problem, recipe: Recipe, objective) -> None:
        build = hypermodels.builder(hypermodels.of(self._model, problem))
        model = Trainer(problem, build, objective).ready_model(recipe)
        self._settings["architecture, loss and metrics"] = fingerprint.of_model(model)
        compiling.compile_for(
            model, problem, "sgd", watch=True, objective=objective.name if objective else None
        )
        self._objective = objective or compiling.default_objective(model, problem)
        compiling.check_objective(self._objective, model, problem.kind)
        self._about = writer.about(problem, problem_facts.of(problem, self._objective, model))
        parts = {
            "folded": len(self.examples),
            "test": 0 if problem.test is None else len(problem.test),
        }
        self._about |= {"parts": parts, "notes": list(self.examples.notes)}
        recipe_checks.check(recipe, recipe_checks.unusable(model, problem))

    def _trainer(self, problem: Problem) -> Trainer:
        """A trainer for a fold's problem, with the network of the fold before where it fits."""
        hypermodel = hypermodels.of(self._model, problem)
        # What a built-in network embeds may differ from fold to fold.
        columns = shapes.columns(problem) if hypermodels.is_built_in(hypermodel) else None
        kind = checks.shapes(problem.train), columns, problem.imbalanced
        if self._known is None or self._known[0] != kind:
            build = hypermodels.builder(hypermodel)
            self._known = kind, Trainer(problem, build, self._objective, on_steps=self._shown.steps)
        return self._known[1].on(problem)

    def _run_fold(
        self, fold: Fold, recipe: Recipe, study: Study, story: Story, known: dict[str, Outcome]
    ) -> Judged:
        """Trains a fold as far as it is not trained yet, and judges it."""
        self._shown.begin(f"{fold.name} of {len(self.folds)}")
        trainer, outcome = self._trainer(self.examples.problem(fold)), known.get(fold.name)
        while outcome is None or not full_training.has_ended(outcome):
            spec = full_training.segment(fold.name, STAGE, recipe, outcome, self._every)
            state = study.checkpoint(fold.name, "last") if spec.start else None
            part, last, _ = trainer.run(dataclasses.replace(spec, keep_best=False), state)
            outcome = part.after(outcome)
            is_last = full_training.has_ended(outcome)
            study.add_segment(
                part,
                None if is_last else last,
                State(last.step, last.model, []) if is_last else None,
            )
            story.segment(outcome, spec.start)
        study.drop_checkpoints([fold.name])
        if outcome.diverged_at is not None:
            raise ValueError(
                f"the training of {fold.name} diverged at step {outcome.diverged_at}, so there is "
                "no mean over the folds; choose a `learning_rate` below "
                f"{recipe.learning_rate:g}, or tune it."
            )
        state = study.checkpoint(fold.name, "best")
        judged = fold_results.judge(self.examples, fold, trainer, state, outcome)
        metrics = judged.metrics.items()
        shown = ", ".join(f"{metric_names.called(name)} {figure(value)}" for name, value in metrics)
        self._shown.line(f"{fold.name}: {shown} on {len(fold.held_out)} held-out examples")
        return judged

    def _finish(self, judged: list[Judged], given: dict[str, Any]) -> None:
        examples, judged = fold_results.held_out_once(self.examples, judged)
        self.out_of_fold = fold_results.out_of_fold(examples, judged)
        predictions = self.out_of_fold.get("predictions")
        self.result = fold_results.result(examples, judged, predictions)
        self.result |= {"folds": self._settings["folds"], "repeats": self._settings["repeats"]}
        self.result |= {"recipe": self.recipe.to_dict(), "notes": list(examples.notes)}
        stream = io.BytesIO()
        np.savez_compressed(stream, **self.out_of_fold)
        run_directory.write_bytes(self.run_dir.out_of_fold, stream.getvalue())
        if predictions is not None:
            kept = fold_results.kept(examples, predictions)
            run_directory.write_bytes(self.run_dir.predictions, kept.to_bytes())
        cut = {"folds": self._settings["folds"], "repeats": self._settings["repeats"]}
        path = self.run_dir.crossval_flags
        claim = (
            f"# Cross-validated by kerastune; to repeat: kerastune crossval --flagfile={path.name}"
        )
        records.write_flags(path, claim, given, self.recipe, cut)
        if all(each.member is not None for each in judged):
            # The members give probabilities already, which are averaged as numbers are.
            kind = OTHER if examples.kind == OTHER else "regression"
            few = sample(examples.inputs(np.arange(min(8, len(examples)))))
            members = [each.member for each in judged]
            self.model = averaging.assemble(members, np.ones(len(judged)), kind=kind, sample=few)
            for member in members:
                compiling.forget(member)
            records.save(self.model, self.run_dir.ensemble)
        records.write_json(self.run_dir.crossval, self.result)


def cross_validate(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    recipe: Recipe | None = None,
    folds: int = 5,
    repeats: int = 1,
    groups: np.ndarray | None = None,
    seed: int = 1,
    objective: str | None = None,
    directory: str | os.PathLike | None = None,
    project_name: str = "crossval",
    overwrite: bool = False,
    verbose: int = 1,
    **others: Any,
) -> CrossValidation:
    """Cross-validates a recipe on arrays, or goes on with it.

    The arguments are those of `CrossValidation`, and:

    Args:
        x: inputs, an array `[n, ...]` or a structure of arrays, all of which are folded.
        y: targets of any form; of several outputs, several labels or dense targets, loss and
            metrics of the compiled model are told.
        folds: of one repeat.
        groups: numbers or texts `[n]`; examples with the same one are never on both sides of a cut.
        verbose: 0 for no line on the screen with the time that is left.
        others: `test_data`, `sample_weight`, `class_weight`, `kind` and `standardize_targets` as in
            `kerastune.data.from_arrays`.

    Returns:
        The `CrossValidation`, which has run.

    Example:
        >>> crossed = cross_validate(build, x, y, folds=5, directory="out")  # doctest: +SKIP
        >>> crossed.result["summary"]["accuracy"]  # doctest: +SKIP
        {'mean': 0.97, 'std': 0.01, 'low': 0.94, 'high': 0.99}
    """
    known = {"test_data", "sample_weight", "class_weight", "kind", "standardize_targets"}
    unknown = set(others) - known
    if unknown:
        raise ValueError(f"cross_validate does not take {', '.join(sorted(unknown))}.")
    prepare = isinstance(model, str) and ":" not in model
    if not prepare:
        given = recipe.hyperparameters if recipe else {}
        others["ask"] = hypermodels.asking(hypermodels.of(model, None), given)
    examples = cross_validation_set.from_arrays(
        x, y, groups=groups, seed=seed, name=project_name, prepare=prepare, **others
    )
    place = {"directory": directory, "project_name": project_name, "overwrite": overwrite}
    crossed = CrossValidation(model, examples, recipe, folds, repeats, seed, objective, **place)
    crossed.run(verbose=verbose)
    return crossed
