"""`PlaybookTuner`: KerasTuner's tuner, with the playbook in the place of a search."""

from __future__ import annotations

import dataclasses
import logging
import os
import types
from collections.abc import Sequence
from typing import Any

import keras
import keras_tuner

from kerastune.budget import Budget, Stopwatch
from kerastune.data import checks, loading
from kerastune.executors import dispatch
from kerastune.executors.base import INLINE, Result
from kerastune.models import (
    compiling,
    fingerprint,
    hypermodels,
    layer_groups,
    pretrained,
    recipe_checks,
    regularization,
)
from kerastune.playbook import retention, warm_start
from kerastune.playbook.driver import Playbook
from kerastune.playbook.stages import registry
from kerastune.playbook.stages.base import Decision
from kerastune.playbook.stages.distill import Distill
from kerastune.playbook.stages.ensemble import MEMBERS, Ensemble, Validation
from kerastune.playbook.stages.finetune import FineTune
from kerastune.playbook.stages.model import Model
from kerastune.playbook.stages.prune import SPARSITIES, Prune
from kerastune.playbook.stages.stage_setup import Setup, Wanted
from kerastune.playbook.stages.start import Start
from kerastune.problem import Problem
from kerastune.recipe import Recipe
from kerastune.report import writer
from kerastune.report.tensorboard_runs import Story
from kerastune.runtime import devices, logs
from kerastune.study import run_directory
from kerastune.study.database import Study
from kerastune.study.run_directory import RunDir
from kerastune.training.trainer import CHUNK, Trainer
from kerastune.trial import Objective, TrialSpec
from kerastune.tuner import (
    argument_checks,
    final_models,
    problem_facts,
    progress,
    results,
    samplers,
)
from kerastune.tuner.builder import Builder
from kerastune.tuner.oracle import PlaybookOracle

logger = logging.getLogger("kerastune")


class PlaybookTuner(keras_tuner.Tuner):
    """Tunes a Keras model in the order of the playbook: probe, baseline, learning rate and steps,
    training.

    A KerasTuner tuner in its surface (`search`, `get_best_models`, `get_best_hyperparameters`,
    `results_summary`), with `recipe` and `decisions` besides. Everything tried is in a study
    database in `directory/project_name`: the same search on the same directory goes on where it
    stopped.

    Args:
        hypermodel: a `build(hp)` function or a `keras_tuner.HyperModel`, `hypermodels.Pretrained`
            among them; what it builds may be compiled, then its loss and metrics are kept and its
            optimizer is replaced.
        objective: `keras_tuner.Objective(name, direction)` or text like `"val_f1:max"`: what the
            model measures, or any metric that `kerastune.models.keras_metrics` knows; by default
            macro-F1 where classes are imbalanced, else validation accuracy where it is measured,
            else validation loss.
        budget: a time (`"4m"`) or a number of steps (`"6000steps"`, deterministic), the final
            training included.
        directory: parent of the project's directory; the working directory by default.
        project_name: name of the project's directory in it.
        seed: of weights, batches and splits, `>= 0`.
        overwrite: begin anew; only what kerastune itself left is deleted.
        baseline: whether Adam at 1e-3 with batches of 32 is trained to compare with, on at most a
            quarter of the budget.
        recipe: where tuning starts; its batch size is kept when a recipe is given, and suggested
            (P7) otherwise.
        refit: whether the chosen recipe is trained once more, on training and validation data
            together, for the model that is saved. Its time is set aside; of a budget in steps it is
            on top.
        stages: names of the stages to run, in this order; by default all, but for what the other
            arguments leave out, `model` only for a hypermodel of your own (the size of a built-in
            network is searched when it is named), and `finetune` only for a
            `hypermodels.Pretrained`.
        ensemble: whether an ensemble that beats the single model is looked for.
        members: of that ensemble, at most.
        member_folds: 0, or 2 to `members - 1`: so many of the trainings for the ensemble each leave
            out another one of as many folds of the training part, as far as the budget holds them;
            for arrays only.
        tta: whether the last stage looks for views of an example whose mean beats the example as it
            is.
        sparsities: shares of zeros, in `[0, 1)`, that stage `prune` tries where `stages` names it.
        teacher: a classifier of the same inputs and classes, for stage `distill` where `stages`
            names it.
        trained: output directory of another search: what it has trained is not trained again, and
            its recipe is this one's; for stages that come after the training.
        keep: how many of the best weights stay in the study, `>= 0`, besides those that are needed.
        executor: where trials are trained: `"inline"`, one after another in this process;
            `"processes"`, several at once in processes of this machine; `"ray"`, in those of a Ray
            cluster. With a budget in steps the decisions are the same, as far as arithmetic allows.
        jobs: trials at once; 0 for as many as memory and cores allow.
        ray_address: of a Ray cluster; empty for one on this machine.

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
        hypermodel,
        objective: keras_tuner.Objective | str | None = None,
        budget: str = "10m",
        directory: str | os.PathLike | None = None,
        project_name: str = "playbook",
        seed: int = 1,
        overwrite: bool = False,
        baseline: bool = True,
        recipe: Recipe | None = None,
        refit: bool = False,
        stages: Sequence[str] | None = None,
        ensemble: bool = True,
        members: int = MEMBERS,
        member_folds: int = 0,
        tta: bool = True,
        sparsities: Sequence[float] = SPARSITIES,
        trained: str | os.PathLike | None = None,
        teacher: keras.Model | None = None,
        keep: int = retention.KEEP,
        executor: str = INLINE,
        jobs: int = 0,
        ray_address: str = "",
    ):
        devices.check_supported()
        dispatch.check(executor, jobs)
        self._execution = executor, jobs, ray_address
        self.run_dir = RunDir(run_directory.project(directory, project_name))
        self.budget = Budget.parse(budget)
        self.seed = argument_checks.checked_seed(seed)
        self._objective = argument_checks.parse_objective(objective)
        self._overwrite = overwrite
        self._refit = refit
        is_pretrained = isinstance(hypermodel, hypermodels.Pretrained)
        wanted = Wanted(
            batch_size=recipe is None,
            baseline=baseline,
            own_model=not (hypermodels.is_built_in(hypermodel) or is_pretrained),
            pretrained=is_pretrained,
            ensemble=ensemble,
            tta=tta,
        )
        self._first_recipe = (recipe or Recipe()).replace(seed=seed)
        self._trained = warm_start.read(trained) if trained else None
        if self._trained is not None:
            warm_start.check_stages(stages or ())
            if recipe is not None:
                warm_start.check_recipe(self._trained, self._first_recipe)
            self._first_recipe = self._trained.recipe
        names = registry.default_names(wanted) if stages is None else stages
        registry.check(names)
        if Distill.name in names and teacher is None:
            raise ValueError("`teacher` must be a trained classifier for stage distill, got none.")
        self._members, self._keep = members, retention.checked(keep)
        self._folds = member_folds if Ensemble.name in names else 0
        self._sparsities, self._teacher = tuple(sparsities), teacher
        self._playbook: Playbook | None = None
        self._best_states: dict[str, Any] = {}
        self.result: dict[str, Any] = {}
        argument_checks.refuse_overrides(type(self), PlaybookTuner, hypermodel)
        placed = {"directory": str(directory or "."), "project_name": project_name}
        super().__init__(oracle=PlaybookOracle(None, seed), hypermodel=hypermodel, **placed)
        space = self.oracle.get_space()
        self._builder = Builder(self.hypermodel, space)
        models = types.SimpleNamespace(
            validation=self._validation, look=self._look, weights=self._kept_weights
        )
        setup = Setup(
            CHUNK,
            self._first_recipe.decay,
            searched=samplers.searched(space),
            sample=samplers.Sampler(space, seed),
            models=models,
            members=members,
            folds=self._folds,
            sparsities=sparsities,
            refit=refit and self.budget.seconds is not None,
        )
        self._stages = registry.make(names, setup)

    @property
    def recipe(self) -> Recipe:
        """The recipe found so far."""
        return self._playbook.recipe if self._playbook else self._first_recipe

    @property
    def decisions(self) -> list[Decision]:
        """What every stage decided, in their order."""
        return list(self._playbook.decisions) if self._playbook else []

    def search(
        self, x=None, y=None, *, validation_data=None, callbacks=(), settings=None, **others
    ):
        """Runs the playbook, or goes on with it.

        Args:
            x: inputs, as `fit` takes them: an array, a dict of arrays, a `tf.data.Dataset`; or a
                `Problem` of kerastune's.
            y: targets, unless `x` brings them.
            validation_data: `(x, y)` or `(x, y, sample_weight)`; cut off the training part when it
                is left out.
            callbacks: Keras callbacks; every trial gets its own copies.
            settings: names and values that must stay the same when the search goes on.
            others: `sample_weight`, `class_weight`, `test_data` and `kind` as in
                `kerastune.data.from_arrays`, and `verbose` (0 for no display). What `fit` would
                also take is refused with the reason.

        Raises:
            ValueError: before any training, for data or settings that can't be used.
        """
        verbose = others.pop("verbose", 1)
        argument_checks.refuse_callbacks(callbacks)
        problem = self._problem(x, y, validation_data, others)
        suggested = any(stage.name == Start.name for stage in self._stages)
        checks.check(problem, 1 if suggested else self._first_recipe.batch_size)
        checks.check_joined_and_cut(problem, self._refit, self._folds)
        self.run_dir.open()
        clear = self.run_dir.clear if self._overwrite else lambda: None
        watch = Stopwatch()
        study = Study(self.run_dir.study, self.run_dir.lock, clear, watch)
        with study, logs.to_file(self.run_dir.log), progress.display(self.budget, verbose) as shown:
            self._given = settings or {}
            self._begin(problem, study, callbacks, shown)
            with dispatch.started(*self._execution, self._trainer, watch.leave_out) as executor:
                for result in dispatch.results(
                    executor, self._trainer, self._playbook, self._begin_trial
                ):
                    self._end_trial(result)
            self._finish(study)

    def run_trial(self, trial, *args, **kwargs):
        """Not asked: the executor trains the segments; see `search`."""
        raise NotImplementedError("the executor trains the segments of trials; call `search`.")

    def _begin_trial(self, spec: TrialSpec) -> None:
        self._shown.segment(spec)
        self.on_trial_begin(self.oracle.begin_trial(spec))

    def _end_trial(self, result: Result) -> None:
        dispatch.record(result, self._playbook)
        joined = self._playbook.outcomes[result.spec.trial]
        self._story.segment(joined, result.spec.start)
        level = logging.INFO if joined.steps > 1 else logging.DEBUG
        logger.log(level, "%s", results.line(joined, self._playbook.objective))
        self.on_trial_end(self.oracle.trials[result.spec.trial])

    def get_best_models(self, num_models=1):
        """Trained models, the one that the playbook chose first; only whole trainings keep their
        weights.

        The models take the inputs that `search` was given.
        """
        if self._playbook is None:
            raise ValueError(
                "nothing was searched yet in this process: call `search`, which reads the directory."
            )
        ranked = self.oracle.get_best_trials(len(self.oracle.trials))
        kept = [trial for trial in ranked if trial.trial_id in self._best_states]
        return [self.load_model(trial) for trial in kept[:num_models]]

    def load_model(self, trial):
        """The model of a trial with the weights of its best evaluation, compiled with a stock Keras
        optimizer.
        """
        if trial.trial_id not in self._best_states:
            raise ValueError(
                f"trial {trial.trial_id} kept no weights; these did: {', '.join(self._best_states)}."
            )
        recipe = self._playbook.outcomes[trial.trial_id].spec.recipe
        return results.raw_model(self._trainer, recipe, self._best_states[trial.trial_id])

    def save(self):
        """Does nothing: every event is in the study already."""

    def reload(self):
        """Does nothing: `search` reads the study."""

    def _problem(self, x, y, validation_data, others) -> Problem:
        argument_checks.refuse_settings_of_fit(others)
        if isinstance(x, Problem):
            return x
        unknown = set(others) - {"sample_weight", "class_weight", "test_data", "kind"}
        if unknown:
            raise ValueError(f"search does not take {', '.join(sorted(unknown))}.")
        return loading.from_arrays(
            x, y, validation_data=validation_data, seed=self.seed, name=self.project_name, **others
        )

    def _begin(self, problem: Problem, study: Study, callbacks, shown) -> None:
        self._shown = shown
        loss = Objective("loss", "min")
        self._trainer = Trainer(problem, self._builder, loss, callbacks, shown.steps, self._is_late)
        fine_tuned = self._look_at_loaded(problem)
        self._trainer.teacher = self._teacher
        model = self._trainer.ready_model(self._first())
        described, regularized = (
            fingerprint.of_model(model),
            bool(regularization.find_regularizers(model)),
        )
        wanted = self._objective.name if self._objective else None
        compiling.compile_for(model, problem, "sgd", watch=True, objective=wanted)
        objective = self._objective or compiling.default_objective(model, problem)
        compiling.check_objective(objective, model, problem.kind)
        self._trainer.objective = objective
        facts = dataclasses.replace(
            problem_facts.of(problem, objective, model), regularized=regularized, **fine_tuned
        )
        recipe_checks.check(self._first(), facts.unusable)
        layer_groups.check(model, self._first())
        study.settings({**self._given, **self._settings(problem, objective, described)})
        if self._trained is not None:
            warm_start.take(study, self._trained, fingerprint.of_data(problem))
        refit = results.times_of_refit(problem) if self._refit else 0.0
        self._playbook = Playbook(
            study, self._stages, self._first(), facts, self.budget, self._on_decision, refit
        )
        self._facts = facts
        self._look_at_network(self._first())
        self.oracle.begin(
            self._playbook, keras_tuner.Objective(f"val_{objective.name}", objective.direction)
        )
        for note in problem.notes:
            logger.info("%s", note)
        self._story = Story(self.run_dir, draws=not self._playbook.is_short)
        self._story.rewrite(
            self._playbook.outcomes, self._playbook.decisions, self._first(), objective.name
        )
        if not study.decisions():
            logger.info("%s", self._playbook.plan())
        if self._playbook.outcomes:
            logger.info(
                "Going on after %d trials and %.0f s.",
                len(self._playbook.outcomes),
                study.seconds(),
            )
        shown.begin(self._playbook)

    def _look_at_loaded(self, problem: Problem) -> dict[str, int]:
        """Suits a pretrained model to the data, and freezes what was loaded until stage `finetune`
        says otherwise.
        """
        if isinstance(self.hypermodel, hypermodels.Pretrained):
            self.hypermodel.suit(problem)
        if not any(stage.name == FineTune.name for stage in self._stages):
            return {}
        levels, loaded = pretrained.loaded_levels(
            lambda: self._trainer.ready_model(self._first()), self.seed
        )
        # Of a network that has no new layer at its end, the last one is the head.
        loaded = min(loaded, max(levels - 1, 0))
        if loaded and not self._first_recipe.frozen:
            self._first_recipe = self._first_recipe.replace(frozen=loaded, head=levels - loaded)
        return {"levels": levels, "pretrained": loaded}

    def _first(self) -> Recipe:
        """The recipe that the first stage starts from, with every hyperparameter of the model
        named.
        """
        given = self._first_recipe.hyperparameters
        defaults = samplers.completed(self.oracle.get_space(), given)
        return self._first_recipe.replace(hyperparameters={**defaults, **given})

    def _settings(self, problem: Problem, objective: Objective, described: str) -> dict[str, Any]:
        return {
            "budget": str(self.budget),
            "seed": self.seed,
            "objective": f"{objective.name}:{objective.direction}",
            "stages": [stage.name for stage in self._stages],
            "members": self._members,
            "keep": self._keep,
            **self._first().to_dict(),
            "refit": self._refit,
            **(
                self.hypermodel.settings
                if isinstance(self.hypermodel, hypermodels.Pretrained)
                else {}
            ),
            **self._tried(),
            "contents of the data": fingerprint.of_data(problem),
            "architecture, loss and metrics": described,
        }

    def _tried(self) -> dict[str, Any]:
        """What single stages are given beside the recipe, where they are among the stages."""
        names = [stage.name for stage in self._stages]
        given = {
            "search space": (Model, lambda: self.oracle.get_space().get_config()["space"]),
            "sparsity": (Prune, lambda: sorted(self._sparsities)),
            "teacher": (Distill, lambda: fingerprint.of_weights(self._teacher)),
        }
        found = {name: value() for name, (stage, value) in given.items() if stage.name in names}
        return found | ({"member_folds": self._folds} if self._folds else {})

    def _look_at_network(self, before: Recipe) -> None:
        """Tells the playbook what it must know of the present network, if that is not the one of
        `before`.
        """
        if self.recipe.hyperparameters != before.hyperparameters:
            model = self._trainer.ready_model(self.recipe)
            regularized = bool(regularization.find_regularizers(model))
            self._playbook.learn(regularized=regularized, num_parameters=model.count_params())

    def _is_late(self) -> bool:
        return self._playbook.study.seconds() > self._playbook.deadline()

    def _validation(self) -> Validation:
        return final_models.validation(self._trainer, self._playbook)

    def _kept_weights(self, trial: str) -> list[Any]:
        return self._playbook.study.checkpoint(trial, "best").model

    def _look(self) -> tuple[dict[str, Any], Any]:
        return final_models.look(self._trainer, self._playbook, self.oracle.chosen_trial())

    def _on_decision(self, decision: Decision) -> None:
        self._look_at_network(decision.before)
        self._story.decision(decision, self._playbook.outcomes)

    def _finish(self, study: Study) -> None:
        chosen = self.oracle.chosen_trial()
        if self._refit and chosen is not None and results.REFIT not in self._playbook.outcomes:
            spec = results.spec_of_refit(self.recipe, self._trainer.problem)
            self._playbook.begin(spec)
            self._shown.segment(spec)
            self._playbook.record(*results.refit(self._trainer, spec))
            self._story.segment(self._playbook.outcomes[results.REFIT], start=0)
        study.announce([])
        for name in self._playbook.outcomes:
            if (state := study.checkpoint(name, "best")) is not None:
                self._best_states[name] = state
        states = self._best_states
        self.result = study.fact("result")
        if self.result is None:
            self.result, kept = results.result(
                self._trainer, self._playbook, states, chosen, study.seconds()
            )
            if kept is not None:
                run_directory.write_bytes(self.run_dir.predictions, kept.to_bytes())
            study.put_fact("result", self.result)
        if study.fact(writer.ABOUT) is None:
            study.put_fact(writer.ABOUT, writer.about(self._trainer.problem, self._facts))
        results.write_records(self.run_dir, self._playbook, self.result, self._given)
        results.save_models(
            self.run_dir, self._trainer, self._playbook, states, chosen, self.result
        )
        draws = not self._playbook.is_short
        self._story.result(writer.write(self.run_dir, study, self._story.pictures, draws))
