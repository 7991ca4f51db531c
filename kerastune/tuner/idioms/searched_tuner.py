"""What a search found, in this process or an earlier one, as KerasTuner's tuners give it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import keras_tuner

from kerastune.objective import Objective
from kerastune.playbook.decision import Decision
from kerastune.playbook.driver import Playbook
from kerastune.playbook.stages import registry
from kerastune.problem import Problem
from kerastune.recipe import Recipe
from kerastune.report import trial_tables, writer
from kerastune.report.summaries import notebook
from kerastune.study.reader import Record, is_study
from kerastune.study.run_directory import RunDir
from kerastune.trial import Outcome
from kerastune.tuner.builder import Builder
from kerastune.tuner.final_models import FinalModels
from kerastune.tuner.idioms import reloading, spaces
from kerastune.tuner.idioms.found_models import FoundModels
from kerastune.tuner.idioms.overrides import Overrides, overridden
from kerastune.tuner.oracle import PlaybookOracle
from kerastune.tuner.settings import Settings


class SearchedTuner(keras_tuner.Tuner):
    """A tuner as far as it reads what was found.

    Args:
        oracle: over the playbook.
        hypermodel: of the user's.
        overrides: over what it builds.
        placed: `directory` and `project_name`.

    Attributes:
        result: what `result.json` holds; empty before a search came to its end.
    """

    settings: Settings
    oracle: PlaybookOracle

    def __init__(
        self, oracle: PlaybookOracle, hypermodel: Any, overrides: Overrides, **placed: str
    ):
        self.result: dict[str, Any] = {}
        self._playbook: Playbook | None = None
        self._models: FinalModels | None = None
        self._saved: Path | None = None
        super().__init__(oracle=oracle, hypermodel=hypermodel, **placed)
        self.loss, self.metrics = overrides.loss, overrides.metrics
        self.max_model_size = overrides.max_model_size
        self._given = overridden(self.hypermodel, overrides)
        self.hypermodel = FoundModels(self._given, self._problem_of_search)

    @property
    def run_dir(self) -> RunDir:
        """The output directory."""
        return self.settings.storage.run_dir

    @property
    def recipe(self) -> Recipe:
        """The recipe found so far."""
        return self._playbook.recipe if self._playbook else self.settings.recipe

    @property
    def decisions(self) -> list[Decision]:
        """What every stage decided, in their order."""
        return list(self._playbook.decisions) if self._playbook else []

    def results(self) -> Any:
        """All trials so far, a row each: settings, steps, seconds, loss and validation values.

        The same as `trials.csv` in the output directory has at the end of a search.

        Raises:
            ValueError: where nothing was searched yet, in the directory neither.
        """
        import pandas

        return pandas.DataFrame(trial_tables.records(self._recorded()[0]))

    def plot(self) -> notebook.Figures:
        """The figures of a search, which a notebook shows: learning curves, and each stage's.

        Raises:
            ValueError: where nothing was searched yet, in the directory neither.
        """
        outcomes, decisions, objective = self._recorded()
        final = self.result.get("trial")
        found = writer.learning_pictures(decisions, outcomes, objective, final)
        return notebook.Figures(found | writer.pictures_of_decisions(decisions, outcomes))

    def _recorded(self) -> tuple[dict[str, Outcome], list[Decision], Objective]:
        if not is_study(self.run_dir.study):
            raise ValueError(
                f"nothing was searched yet, and {self.run_dir.path} holds no search: call "
                "`search`, or name the directory and project_name of one."
            )
        with Record(self.run_dir.study) as record:
            decisions = [registry.decision(plain) for plain in record.decisions()]
            return record.outcomes(), decisions, writer.objective_of(record)

    def _repr_html_(self) -> str:
        measure = self.result.get("scored_by", "accuracy")
        shown = (self.result, self.recipe, self.decisions, measure, self.run_dir.report)
        return notebook.of_search(*shown)

    def get_best_hyperparameters(self, num_trials: int = 1) -> list[keras_tuner.HyperParameters]:
        """Hyperparameters of the best trials, the chosen one first.

        `tuner.hypermodel.build` makes of them a model with the trial's optimizer, learning rate and
        schedule.

        Raises:
            ValueError: where nothing was searched yet, in the directory neither.
        """
        self.trained_models()
        return super().get_best_hyperparameters(num_trials)

    def get_best_models(self, num_models: int = 1) -> list[keras.Model]:
        """Trained models, the one that the playbook chose first.

        Only whole trainings keep their weights. The models take the inputs that `search` was given.

        Raises:
            ValueError: where nothing was searched yet, in the directory neither.
        """
        states = self.trained_models().states
        ranked = self.oracle.get_best_trials(len(self.oracle.trials))
        kept = [trial for trial in ranked if trial.trial_id in states]
        return [self.load_model(trial) for trial in kept[:num_models]]

    def results_summary(self, num_trials: int = 10) -> None:
        """Prints the best trials, the chosen one first.

        Raises:
            ValueError: where nothing was searched yet, in the directory neither.
        """
        self.trained_models()
        super().results_summary(num_trials)

    def trained_models(self) -> FinalModels:
        """All models of the finished search, the combined ones among them.

        In a process that did not search they are read from the directory.

        Raises:
            ValueError: where nothing was searched yet, in the directory neither.
        """
        if self._models is None:
            if not is_study(self.run_dir.study):
                raise ValueError(
                    f"nothing was searched yet, and {self.run_dir.path} holds no search: call "
                    "`search`, or name the directory and project_name of one."
                )
            self.reload()
        return self._models

    def load_model(self, trial: Any) -> keras.Model:
        """The model of a trial with the weights of its best evaluation.

        It is compiled with a stock Keras optimizer.

        Raises:
            ValueError: for a trial that kept no weights, or that can't be made again without data.
        """
        models = self.trained_models()
        if trial.trial_id not in models.states:
            kept = ", ".join(models.states)
            raise ValueError(f"trial {trial.trial_id} kept no weights; these did: {kept}.")
        if self._saved is None:
            return models.trial_model(trial.trial_id)
        if trial.trial_id != models.chosen or not self._saved.is_file():
            raise ValueError(
                f"trial {trial.trial_id} was trained on prepared data, and only the best model is "
                "on disk whole: call `search` with the data, which trains nothing again."
            )
        return keras.saving.load_model(self._saved)

    def save(self) -> None:
        """Does nothing: every event is in the study already."""

    def reload(self) -> None:
        """Reads what was searched from the directory, without the data.

        Raises:
            ValueError: where there is no search.
        """
        build = Builder(self._given, self.oracle.get_space())
        with Record(self.run_dir.study) as record:
            found = reloading.read(record, build, self.settings)
        self._playbook, self._models, self.result = found.playbook, found.models, found.result
        self._saved = self.run_dir.model if found.is_attached else None
        self.oracle.begin(found.playbook, found.of_optimizer)

    def _populate_initial_space(self) -> None:
        super()._populate_initial_space()
        if not spaces.is_ours(self.hypermodel):
            spaces.explore(self.hypermodel, self.oracle.get_space, self.oracle.update_space)

    def _problem_of_search(self) -> Problem | None:
        return self._models.problem if self._models else None
