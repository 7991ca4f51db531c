"""`PlaybookTuner`: KerasTuner's tuner, with the playbook in the place of a search."""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

import keras
import keras_tuner

from kerastune.budget import Budget, Stopwatch
from kerastune.data import checks, loading, user_inputs
from kerastune.executors.base import INLINE
from kerastune.models import hypermodels, output_kind
from kerastune.playbook import extending, warm_start
from kerastune.playbook.stages.ensemble import Ensemble
from kerastune.problem import Declared, Problem
from kerastune.recipe import Recipe
from kerastune.report.predictions import Predictions
from kerastune.report.summaries import ending, verdict
from kerastune.runtime import devices, logs
from kerastune.study import run_directory
from kerastune.study.database import Study
from kerastune.study.reader import is_study
from kerastune.study.run_directory import RunDir
from kerastune.trial import TrialSpec
from kerastune.tuner import argument_checks, extended, problem_facts
from kerastune.tuner.display import progress
from kerastune.tuner.idioms import arguments, fit_arguments, spaces
from kerastune.tuner.idioms.fit_arguments import FitArguments
from kerastune.tuner.idioms.further import Further, taken
from kerastune.tuner.idioms.objectives import as_keras_tuner, parse_objective
from kerastune.tuner.idioms.overrides import Overrides
from kerastune.tuner.idioms.searched_tuner import SearchedTuner
from kerastune.tuner.oracle import PlaybookOracle
from kerastune.tuner.search import Search
from kerastune.tuner.settings import (
    EnsembleSettings,
    ExecutionSettings,
    Limits,
    Settings,
    StageSettings,
    StorageSettings,
    default_stages,
    make_stages,
    suited,
)

PROJECT_NAME = "playbook"
ARGUMENTS_OF_DATA = ("sample_weight", "class_weight", "test_data", "kind", "standardize_targets")


class PlaybookTuner(SearchedTuner):
    """Tunes a Keras model in the order of the playbook.

    A KerasTuner tuner in its surface (`search`, `get_best_models`, `get_best_hyperparameters`,
    `results_summary`), with `recipe` and `decisions` besides. Everything tried is in a study
    database in `directory/project_name`: the same search on the same directory goes on where it
    stopped.

    Args:
        hypermodel: a `build(hp)` function or a `keras_tuner.HyperModel`, `hypermodels.Pretrained`
            among them; what it builds may be compiled, then its loss and metrics are kept and its
            optimizer is replaced.
        objective: `keras_tuner.Objective(name, direction)` or a name like `"val_accuracy"`: of what
            the model measures, or of any metric that `kerastune.models.keras_metrics` knows; by
            default macro-F1 where classes are imbalanced (ROC AUC where the model measures that),
            else validation accuracy where it is measured, else validation loss.
        max_trials: networks that stage `model` trains, at most; by default as many as the budget
            holds.
        seed: of weights, batches and splits, `>= 0`; 1 by default.
        hyperparameters: declared or fixed before `build(hp)` declares its own.
        tune_new_entries: whether those that `hyperparameters` does not name are searched.
        allow_new_entries: whether `build(hp)` may declare them at all.
        max_retries_per_trial: 0; what takes its place is said where it is another number, and so
            with `max_consecutive_failed_trials`.
        max_consecutive_failed_trials: 3.
        budget: a time (`"4m"`) or a number of steps (`"6000steps"`, deterministic), the final
            training included. `"+10m"` or `"+2000steps"` extends the search of the directory by so
            much, and called again after a crash goes on with that.
        directory: parent of the project's directory; the working directory by default.
        project_name: name of the project's directory in it, `"playbook"` by default.
        overwrite: begin anew; only what kerastune itself left is deleted.
        recipe: where tuning starts: a dict of some of its values, as `{"optimizer": "lion"}`, the
            others being suggested; or a whole `Recipe`, whose learning rate counts if it is set.
        stages: names of the stages to run, in this order; by default all, but for what the other
            arguments leave out, `model` only for a hypermodel of your own (the size of a built-in
            network is searched when it is named), and `finetune` only for a
            `hypermodels.Pretrained`.
        ensemble: whether an ensemble that beats the single model is looked for.
        tta: whether the last stage looks for views of an example whose mean beats the example as it
            is.
        refit: whether the chosen recipe is trained once more, on training and validation data
            together, for the model that is saved. Its time is set aside; of a budget in steps it is
            on top.
        executor: where trials are trained: `"inline"`, one after another in this process;
            `"processes"`, several at once in processes of this machine; `"ray"`, in those of a Ray
            cluster. With a budget in steps the decisions are the same, as far as arithmetic allows.
        jobs: trials at once; 0 for as many as memory and cores allow.
        further: arguments that few searches need, by name. Any other is refused, those of
            KerasTuner's tuners with what takes their place.

            * `max_epochs`: of any training, at most.
            * `executions_per_trial`: taken, and told in the log: the final model is trained
              with other seeds where time is left.
            * `loss`, `metrics`: in place of those that `build(hp)` compiles.
            * `max_model_size`: parameters of a model, at most.
            * `baseline`: whether Adam at 1e-3 with batches of 32 is trained to compare with, on at
              most a tenth of the budget.
            * `members`: of an ensemble, at most; twice as many where each leaves out a fifth.
            * `member_folds`: 0, or 2 to `members - 1`: so many of the trainings for the ensemble
              each leave out another one of as many folds of the training part, as far as the budget
              holds them; for arrays only.
            * `sparsities`: fractions of zeros, in `[0, 1)`, that stage `prune` tries where `stages`
              names it.
            * `trained`: output directory of another search: what it has trained is not trained
              again, and its recipe is this one's; for stages that come after the training.
            * `teacher`: a classifier of the same inputs and classes, for stage `distill` where
              `stages` names it.
            * `keep`: how many of the best weights stay in the study, `>= 0`, besides those that are
              needed.
            * `ray_address`: of a Ray cluster; empty for one on this machine.
            * `mlflow`: whether the finished search is logged to MLflow, too, where its own
              settings say: a run of the final model and, nested in it, one of the winner of every
              stage.

    Attributes:
        settings: all of them, checked.
        latest: the latest search of this process, `None` before the first.
        result: what `result.json` holds; empty before a search came to its end.

    Raises:
        ValueError: for a setting that is out of range, a hypermodel with a `fit` of its own, or a
            subclass with a `run_trial` of its own.

    Example:
        >>> tuner = PlaybookTuner(build, budget="2m", directory="out")  # doctest: +SKIP
        >>> tuner.search(x_train, y_train, validation_data=(x_val, y_val))  # doctest: +SKIP
        >>> tuner.recipe.learning_rate, tuner.get_best_models()[0]  # doctest: +SKIP
    """

    def __init__(
        self,
        hypermodel: keras_tuner.HyperModel | Callable[[keras_tuner.HyperParameters], keras.Model],
        objective: keras_tuner.Objective | str | None = None,
        max_trials: int | None = None,
        seed: int | None = 1,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        tune_new_entries: bool = True,
        allow_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        *,
        budget: str = "10m",
        directory: str | os.PathLike | None = None,
        project_name: str | None = None,
        overwrite: bool = False,
        recipe: Recipe | Mapping[str, Any] | None = None,
        stages: Sequence[str] | None = None,
        ensemble: bool = True,
        tta: bool = True,
        refit: bool = False,
        executor: str = INLINE,
        jobs: int = 0,
        **further: Unpack[Further],
    ):
        devices.check_supported()
        devices.look_quietly()
        of_keras_tuner = {
            "max_retries_per_trial": max_retries_per_trial,
            "max_consecutive_failed_trials": max_consecutive_failed_trials,
        }
        known = list(inspect.signature(PlaybookTuner.__init__).parameters)
        others = taken({**further, **of_keras_tuner}, known)
        arguments.check_hypermodel(hypermodel)
        seed = 1 if seed is None else argument_checks.checked_seed(seed)
        project_name = project_name or PROJECT_NAME
        recipe, given = argument_checks.checked_recipe(recipe)
        first, begun = warm_start.starting_point(recipe, given, seed, others["trained"], stages)
        if stages is None:
            stages = default_stages(hypermodel, given, others["baseline"], ensemble, tta)
        folds = others["member_folds"] if Ensemble.name in stages else 0
        run_dir = RunDir(run_directory.project(directory, project_name))
        self.settings = Settings(
            budget=Budget.parse(budget),
            seed=seed,
            objective=parse_objective(objective),
            refit=refit,
            recipe=first,
            given=given,
            trained=begun,
            stages=StageSettings(tuple(stages), tuple(others["sparsities"]), others["teacher"]),
            ensemble=EnsembleSettings(others["members"], folds),
            execution=ExecutionSettings(executor, jobs, others["ray_address"]),
            storage=StorageSettings(run_dir, overwrite, others["keep"], others["mlflow"]),
            limits=Limits(
                networks=arguments.at_least_one("max_trials", max_trials),
                epochs=others["max_epochs"],
            ),
        )
        if self.settings.budget.extends and not is_study(run_dir.study):
            raise ValueError(extending.nothing_to_extend(self.settings.budget, run_dir.path))
        self.latest: Search | None = None
        self._notes = arguments.notes(others["executions_per_trial"])
        argument_checks.refuse_overrides(type(self), PlaybookTuner, hypermodel)
        argument_checks.refuse_foreign_project(run_dir.path)
        placed = {"directory": str(directory or "."), "project_name": project_name}
        wanted = as_keras_tuner(self.settings.objective)
        oracle = PlaybookOracle(wanted, seed, hyperparameters, tune_new_entries, allow_new_entries)
        overrides = Overrides(others["loss"], others["metrics"], others["max_model_size"])
        super().__init__(oracle, hypermodel, overrides, **placed)
        # Refuses now what a stage can't be made with; every search makes its own stages.
        make_stages(self.settings, self.oracle.get_space())

    def search(
        self,
        x: Any = None,
        y: Any = None,
        *,
        validation_data: tuple | None = None,
        callbacks: Sequence[keras.callbacks.Callback] | keras.callbacks.Callback | None = None,
        settings: dict[str, Any] | None = None,
        **others: Any,
    ) -> None:
        """Runs the playbook, or goes on with it.

        Args:
            x: inputs, as `fit` takes them: an array, a dict of arrays, a `tf.data.Dataset`; or a
                `Problem` of kerastune's.
            y: targets, unless `x` brings them or there are none; several are a dict or list.
            validation_data: `(x, y)` or `(x, y, sample_weight)`; cut off the training part when it
                is left out.
            callbacks: Keras callbacks, or functions that make one; every trial gets its own
                copies, and files of its own.
            settings: names and values that must stay the same when the search goes on.
            others: `sample_weight`, `class_weight`, `test_data`, `kind` and `standardize_targets`
                as in `kerastune.data.from_arrays`; `verbose` (0 for no display); and of `fit`'s
                arguments `epochs` (of any training, at most), `batch_size` (of every training),
                `validation_split`, `validation_batch_size` and `shuffle`. What `fit` would also
                take is refused with the reason.

        Raises:
            ValueError: before any training, for data or settings that can't be used.
        """
        verbose = others.pop("verbose", 1)
        callbacks = argument_checks.checked_callbacks(callbacks)
        told = fit_arguments.taken(others)
        problem = self._problem(x, y, validation_data, others, told)
        notes = (*problem.notes, *self._notes, *argument_checks.notes_on_callbacks(callbacks))
        problem = dataclasses.replace(problem, notes=notes, shuffled=told.shuffle)
        wanted, problem = suited(told.applied(self.settings), problem)
        storage = wanted.storage
        checks.check(problem, wanted.given_batch_size or 1)
        checks.check_joined_and_cut(problem, wanted.refit, wanted.ensemble.folds)
        storage.run_dir.open(storage.overwrite)
        clear = storage.run_dir.clear if storage.overwrite else _keep_everything
        watch = Stopwatch()
        with (
            Study(storage.run_dir.study, storage.run_dir.lock, clear, watch) as study,
            logs.to_file(storage.run_dir.log),
            logs.many_models(),
        ):
            for part in extended.parts(study, wanted):
                with progress.display(extended.in_all(study, part), verbose) as shown:
                    self.latest = Search(
                        part,
                        self._given,
                        self.oracle.get_space(),
                        problem,
                        callbacks=callbacks,
                        given=settings or {},
                        study=study,
                        display=shown,
                        watch=watch,
                    )
                    self._run(self.latest)
                    if settings is None:  # a command says so itself
                        self._tell(shown)

    def _run(self, search: Search) -> None:
        self._playbook, self._saved = search.playbook, None
        self.oracle.begin(self._playbook, search.of_optimizer)
        self.on_search_begin()
        self._models, self.result = search.run(self._begin_trial, self._end_trial)
        self.on_search_end()

    def _tell(self, shown: progress.Display) -> None:
        """Shows what was found."""
        kept = self.run_dir.predictions
        given = Predictions.from_bytes(kept.read_bytes()) if kept.is_file() else None
        recipe = f"Recipe: {verdict.recipe_in_words(self.recipe)}"
        report = f"Report: {ending.shown(self.run_dir.report)}"
        shown.ended([*ending.found(self.result, given), recipe, report])

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> None:
        """Not asked: the executor trains the segments; see `search`."""
        raise NotImplementedError("the executor trains the segments of trials; call `search`.")

    def _begin_trial(self, spec: TrialSpec) -> None:
        self.on_trial_begin(self.oracle.begin_trial(spec))

    def _end_trial(self, name: str) -> None:
        self.on_trial_end(self.oracle.trials[name])

    def _problem(
        self,
        x: Any,
        y: Any,
        validation_data: tuple | None,
        others: dict[str, Any],
        told: FitArguments,
    ) -> Problem:
        space, recipe = self.oracle.get_space(), self.settings.recipe
        given = problem_facts.with_all_hyperparameters(recipe, space).hyperparameters
        hypermodel = spaces.declared(self._given, space)
        ask = hypermodels.asking(hypermodel, given)
        if isinstance(x, Problem):
            declared = ask(output_kind.first_examples(x.validation.x)) if ask else Declared()
            return dataclasses.replace(
                x,
                batch_size=declared.batch_size,
                is_stateful=declared.is_stateful,
                output_numbers=declared.numbers,
            )
        if x is None:
            raise ValueError("`x` is missing: search needs the data, as fit takes them.")
        argument_checks.refuse_unknown(
            others, (*ARGUMENTS_OF_DATA, "verbose", *fit_arguments.NAMES)
        )
        weight = others.pop("sample_weight", None)
        x, y, validation_data, weight = told.cut(x, y, validation_data, weight)
        parts = {"x": x, "validation_data": validation_data, **others}
        if any(user_inputs.has_frame(part) for part in parts.values()):
            by_column = hypermodels.takes_columns(hypermodel, given)
            parts = {name: user_inputs.unframed(part, by_column) for name, part in parts.items()}
        return loading.from_arrays(
            y=y,
            sample_weight=weight,
            seed=self.settings.seed,
            name=self.project_name,
            ask=ask,
            **parts,
        )


def _keep_everything() -> None:
    """What is cleared of a study that goes on: nothing."""
