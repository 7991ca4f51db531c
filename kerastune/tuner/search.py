"""One search, from the data to the report."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import keras_tuner

from kerastune.budget import Stopwatch
from kerastune.executors import dispatch
from kerastune.executors.base import Result
from kerastune.export import usage_files
from kerastune.models import fingerprint, regularization
from kerastune.playbook import extending, warm_start
from kerastune.playbook.decision import Decision
from kerastune.playbook.driver import Playbook
from kerastune.playbook.rules import untuned
from kerastune.playbook.stages.base import Stage
from kerastune.playbook.stages.train import Train
from kerastune.problem import Problem
from kerastune.recipe import Recipe
from kerastune.report import live, writer
from kerastune.report.figures.picture_time import PictureTime
from kerastune.report.live import LiveReport
from kerastune.report.tensorboard_runs import Story
from kerastune.study import extensions, run_directory
from kerastune.study.database import Study
from kerastune.study.extensions import Extension
from kerastune.training.trainer import Trainer
from kerastune.trial import State, TrialSpec
from kerastune.tuner import (
    extended,
    oracle,
    problem_facts,
    records,
    refit,
    results,
    so_far,
)
from kerastune.tuner.builder import Builder
from kerastune.tuner.display import opening, progress
from kerastune.tuner.final_models import FinalModels
from kerastune.tuner.idioms import reloading
from kerastune.tuner.settings import Settings, make_stages
from kerastune.tuner.stage_models import StageModels, StudyStates

logger = logging.getLogger("kerastune")


class Search:
    """One call of `PlaybookTuner.search`, with everything that works together in it.

    Args:
        settings: of the tuner.
        hypermodel: of the tuner.
        space: its hyperparameters.
        problem: the prepared data.
        callbacks: Keras callbacks of the user's.
        given: names and values that must stay the same when the search goes on.
        study: the open record.
        display: shows how far the search is.
        watch: the study's clock, which leaves out what is not the search's own.

    Raises:
        ValueError: for data, model or settings that do not fit each other or what the study holds.

    Example:
        >>> search = Search(settings, hypermodel, space, problem, study=study)  # doctest: +SKIP
        >>> models, figures = search.run(print, print)  # doctest: +SKIP
    """

    def __init__(
        self,
        settings: Settings,
        hypermodel: keras_tuner.HyperModel,
        space: keras_tuner.HyperParameters,
        problem: Problem,
        *,
        callbacks: Sequence[keras.callbacks.Callback],
        given: dict[str, Any],
        study: Study,
        display: progress.Display,
        watch: Stopwatch,
    ):
        self.settings, self.given = settings, given
        self.study, self.display, self.watch = study, display, watch
        self.run_dir = settings.storage.run_dir

        # Look at the data and build the model.
        build = Builder(hypermodel, space)
        self.of_optimizer = problem_facts.of_optimizer(problem, build, space, settings)
        space = self.of_optimizer.without(space)
        seen = problem_facts.look(problem, hypermodel, build, space, settings)
        self.problem = dataclasses.replace(problem, notes=(*problem.notes, *seen.notes))
        self.first, self.facts = seen.recipe, seen.facts
        self.trainer = Trainer(
            problem, build, self.facts.objective, callbacks, display.steps, self._seconds_left
        )
        self.trainer.teacher = settings.stages.teacher
        self.trainer.most_steps = self.facts.most_steps

        # Begin the study.
        contents = fingerprint.of_data(problem)
        study.settings({**given, **records.must_stay(settings, seen, hypermodel, space, contents)})
        reloading.record(study, problem, self.of_optimizer)
        if settings.trained is not None:
            warm_start.take(study, settings.trained, contents)

        # Take up the playbook.
        stages = make_stages(settings, space, StageModels(self._models_so_far))
        self.extension = self._begun(stages)
        self.playbook = Playbook(
            study,
            stages,
            self.first,
            self.facts,
            settings.budget_now,
            self._on_decision,
            refit.step_factor(problem) if settings.refit else 0.0,
            self.extension,
        )
        self._look_at_network(self.first)
        budget, is_short = extended.in_all(study, settings), self.playbook.is_short
        self.picture_time = PictureTime(budget.seconds, study.seconds, is_short)
        self.story = Story(self.run_dir, self.picture_time)
        self.about = writer.about(self.problem, self.facts, self._layers())
        draws = not is_short
        self.live = LiveReport(self.run_dir, self.about, self.facts.objective, draws)

    def run(
        self, on_begin: Callable[[TrialSpec], None], on_end: Callable[[str], None]
    ) -> tuple[FinalModels, dict[str, Any]]:
        """Runs the playbook to its end, makes the final models, and writes files and report.

        Args:
            on_begin: called with every segment when its training begins.
            on_end: called with the name of a trial when a segment of it is recorded.

        Returns:
            The models, and what `result.json` holds.

        Raises:
            ValueError: after the report is written, where nothing could be learnt.
        """
        with live.told_to_stop(self.run_dir, lambda: self._write_live(at_once=True)):
            self._tell_what_is_planned()
            self._run_playbook(on_begin, on_end)
            self._refit()
            models = self._final_models()
            figures = self._figures(models)
            if self.playbook.kept != self._number:
                models = self._final_models()
            self._write(models, figures)
        if self.extension:
            extensions.end(self.study, self.extension)
        if self.settings.storage.mlflow:
            if run := records.log_to_mlflow(self.study, self.run_dir, models, figures):
                self.display.screen.line(f"Logged to MLflow: {run}")
        self._check_model(models)
        return models, figures

    def _begun(self, stages: Sequence[Stage]) -> Extension | None:
        """The extension that is trained, which is recorded when it is new."""
        if (wanted := self.settings.extension) is None:
            return None
        known = extensions.read(self.study)
        if wanted.number <= len(known):
            return known[wanted.number - 1]
        return extending.begin(self.study, stages, self.settings.budget_now)

    @property
    def _number(self) -> int:
        return self.extension.number if self.extension else 0

    def _check_model(self, models: FinalModels) -> None:
        """Raises `ValueError` where a search has nothing to hand out."""
        decisions = self.playbook.decisions
        last = decisions[-1]
        if last.ends_search:
            raise ValueError(f"stage {last.stage}: {last.reason}")
        trained = [each for each in decisions if each.stage == Train.name]
        if trained and models.chosen is None:
            report = self.run_dir.report
            raise ValueError(f"stage {Train.name}: {trained[-1].reason} The report is {report}.")

    def _tell_what_is_planned(self) -> None:
        playbook, metric = self.playbook, self.facts.objective.name
        if playbook.is_short:
            logger.info("%s", self._untuned())
        for note in (*self.problem.notes, *self.of_optimizer.notes()):
            logger.info("%s", note)
        self.story.rewrite(playbook.outcomes, playbook.decisions, self.first, metric)
        if not playbook.decided:
            logger.info("%s", playbook.plan())
        told = opening.lines(self.problem, playbook, self.facts, self.run_dir)
        if playbook.outcomes:
            done = len(playbook.outcomes), self.study.seconds()
            logger.info("Continuing after %d trials and %.0f s.", *done)
            told.append(("Continuing after {} trials and {:.0f} s.".format(*done), ""))
        self.display.begin(playbook, told)
        self._write_live()

    def _run_playbook(
        self, on_begin: Callable[[TrialSpec], None], on_end: Callable[[str], None]
    ) -> None:
        def begin(spec: TrialSpec) -> None:
            self.display.segment(spec)
            on_begin(spec)

        where = self.settings.execution
        with dispatch.started(
            where.executor, where.jobs, where.ray_address, self.trainer, self.watch.leave_out
        ) as executor:
            for result in dispatch.results(executor, self.trainer, self.playbook, begin):
                self._record(result)
                on_end(result.spec.trial)

    def _record(self, result: Result) -> None:
        dispatch.record(result, self.playbook)
        joined = self.playbook.outcomes[result.spec.trial]
        self.story.segment(joined, result.spec.start)
        level = logging.INFO if joined.steps > 1 else logging.DEBUG
        logger.log(level, "%s", progress.line(joined, self.playbook.objective))
        self.display.recorded(joined)

    def _refit(self) -> None:
        """Trains the chosen recipe on all examples, where that is asked for and not done yet."""
        playbook = self.playbook
        trial = refit.trial(self._number)
        is_done = trial in playbook.outcomes
        if not self.settings.refit or self._chosen() is None or is_done:
            return
        spec = refit.spec_of(playbook.recipe, self.problem, self._number)
        playbook.begin(spec)
        self.display.segment(spec)
        playbook.record(*refit.run(self.trainer, spec))
        self.story.segment(playbook.outcomes[trial], start=0)

    def _final_models(self) -> FinalModels:
        """The models, with weights that outlive the study's being open."""
        self.study.announce([])
        self.display.finishing()
        read = {name: self.study.checkpoint(name, "best") for name in self.playbook.outcomes}
        return self._models({name: state for name, state in read.items() if state is not None})

    def _figures(self, models: FinalModels) -> dict[str, Any]:
        """What `result.json` holds: from the study, where the test part was touched already.

        Of an extension it is the better one of what there was and what was found.
        """
        name = extensions.of_number("result", self._number)
        figures = self.study.fact(name)
        if figures is None:
            figures, predictions = results.result(models, self.study.seconds())
            figures["extension"] = self._number
            figures |= {"not_tuned": words} if (words := self._untuned()) else {}
            if self.extension:
                earlier = extensions.result(self.study)
                figures = extended.better(figures, earlier, self.facts.objective)
            if predictions is not None and figures["extension"] == self._number:
                run_directory.write_bytes(self.run_dir.predictions, predictions.to_bytes())
            self.study.put_fact(name, figures)
        self.playbook.kept = figures["extension"]
        return figures

    def _untuned(self) -> str:
        """That nothing was tuned, where that is so for lack of time, and which budget would."""
        playbook, settings = self.playbook, self.settings
        if (self.extension or playbook.keeps_recipe) and not playbook.is_short:
            return ""
        factor = refit.step_factor(self.problem) if settings.refit else 0.0
        return untuned.sentence(playbook.budget, playbook.stages, playbook.outcomes, factor)

    def _write(self, models: FinalModels, figures: dict[str, Any]) -> None:
        if self.study.fact(writer.ABOUT) is None:
            self.study.put_fact(writer.ABOUT, self.about)
        records.write(self.run_dir, self.playbook, figures, self.given)
        records.save_models(self.run_dir, models, figures)
        usage_files.write(self.run_dir, self.problem, figures, self.given)
        left_out = len(self.playbook.decisions) - len(self.story.pictures)
        time_for = self.picture_time.is_enough_at_the_end
        in_time = time_for(left_out), time_for(), time_for(result=1)
        drawn = writer.Drawn(self.story.pictures, *in_time, self.live.learning_of(models.chosen))
        began = time.monotonic()
        self.story.result(writer.write(self.run_dir, self.study, drawn))
        seconds = time.monotonic() - began + self.story.seconds + self.live.seconds
        logger.info("Report and TensorBoard took %.1f s.", seconds)

    def _models(self, states: Mapping[str, State]) -> FinalModels:
        return FinalModels(self.trainer, self.playbook, states, self._chosen())

    def _models_so_far(self) -> FinalModels:
        return self._models(StudyStates(self.study))

    def _chosen(self) -> str | None:
        return oracle.chosen_trial(self.playbook.in_force)

    def _seconds_left(self) -> float:
        return self.playbook.seconds_left()

    def _on_decision(self, decision: Decision) -> None:
        self._look_at_network(decision.before)
        self.story.decision(decision, self.playbook.outcomes)
        self.display.decided(decision)
        self._write_live()
        # What was handed out before an extension stays until that has ended.
        if not (self.playbook.is_short or self.extension):
            so_far.save_better(self.run_dir, self.trainer, self.playbook)

    def _write_live(self, at_once: bool = False) -> None:
        at_work = self.playbook, self.extension
        self.live.write(live.of_search(*at_work, self.run_dir, self.story.pictures), at_once)

    def _layers(self) -> str:
        return problem_facts.layers(self.trainer.ready_model(self.first))

    def _look_at_network(self, before: Recipe) -> None:
        """Tells the playbook of the present network, if it is not that of a recipe before."""
        recipe = self.playbook.recipe
        if recipe.hyperparameters != before.hyperparameters:
            model = self.trainer.ready_model(recipe)
            regularized = bool(regularization.find_regularizers(model))
            self.playbook.learn(regularized=regularized, num_parameters=model.count_params())
