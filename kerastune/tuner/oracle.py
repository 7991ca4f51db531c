"""KerasTuner's oracle over the playbook: which trial comes next is what the stages propose."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import keras_tuner
from keras_tuner.engine.oracle import Oracle
from keras_tuner.engine.trial import Trial, TrialStatus

from kerastune.playbook.decision import ChosenTrial, Decision
from kerastune.playbook.driver import Playbook
from kerastune.trial import Outcome, TrialSpec
from kerastune.tuner.idioms import objectives, trials
from kerastune.tuner.idioms.found_models import SPEC
from kerastune.tuner.idioms.optimizer_hyperparameters import OptimizerHyperparameters
from kerastune.tuner.idioms.trials import PlaybookTrial


def chosen_trial(decisions: Sequence[Decision]) -> str | None:
    """The trial whose weights were chosen, by the last stage that chose any; else `None`."""
    found = [made.values.trial for made in decisions if isinstance(made.values, ChosenTrial)]
    # A stage that had nothing to choose from chose none, and takes nothing back.
    return next((trial for trial in reversed(found) if trial is not None), None)


class PlaybookOracle(Oracle):
    """Hands out the playbook's segments as KerasTuner trials.

    One trial is one training run; when it goes on, it is handed out again under the same id. The
    study database is the truth: nothing is saved in KerasTuner's own files, and nothing is read
    from them.

    Args:
        objective: with its direction; `None` where data and model are to say.
        seed: an integer; 0 is a seed like any other.
        hyperparameters: declared or fixed before the model declares its own.
        tune_new_entries: whether those that `hyperparameters` does not name are searched.
        allow_new_entries: whether the model may declare them at all.
    """

    def __init__(
        self,
        objective: keras_tuner.Objective | None,
        seed: int,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        tune_new_entries: bool = True,
        allow_new_entries: bool = True,
    ):
        super().__init__(
            objective=objective,
            seed=seed,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
        )
        # The base class takes 0 for "no seed".
        self.seed = self._seed_state = seed
        self.playbook: Playbook | None = None
        self._of_optimizer = OptimizerHyperparameters()

    def begin(self, playbook: Playbook, of_optimizer: OptimizerHyperparameters) -> None:
        """Takes up a playbook, with the trials that its study holds already.

        Args:
            playbook: of a search.
            of_optimizer: hyperparameters that feed only the optimizer.
        """
        self.playbook, self._of_optimizer = playbook, of_optimizer
        self.objective = objectives.as_keras_tuner(playbook.objective)
        self.trials.clear()
        for outcome in playbook.outcomes.values():
            self._complete(self._trial(outcome.spec), outcome)

    def update_space(self, hyperparameters: keras_tuner.HyperParameters) -> None:
        """Takes up what the model declares.

        Raises:
            ValueError: where nothing new is allowed.
        """
        known = {each.name for each in self.hyperparameters.space}
        new = sorted({each.name for each in hyperparameters.space} - known)
        if new and not self.allow_new_entries:
            raise ValueError(
                f"`allow_new_entries` (False): build(hp) declares {', '.join(new)} too; declare "
                "all in `hyperparameters`, or leave it out."
            )
        super().update_space(hyperparameters)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Not asked: trials come from `create_trial`, whose values are the playbook's."""
        raise NotImplementedError("the playbook's stages propose whole trials; see `create_trial`.")

    def create_trial(self, tuner_id: str) -> Trial:
        """The next segment as a trial.

        Its status is IDLE when others must end first, and STOPPED after the last.

        Raises:
            ValueError: before a search has begun.
        """
        if self.playbook is None:
            raise ValueError("no search has begun, so that there are no trials: call `search`.")
        spec = self.playbook.next()
        if spec is None:
            status = TrialStatus.STOPPED if self.playbook.stage is None else TrialStatus.IDLE
            return PlaybookTrial(hyperparameters=self.get_space(), trial_id="", status=status)
        self.playbook.begin(spec)
        return self.begin_trial(spec)

    def begin_trial(self, spec: TrialSpec) -> Trial:
        """The trial of a segment that is trained from now on."""
        trial = self._trial(spec)
        trial.status = TrialStatus.RUNNING
        self.ongoing_trials[spec.trial] = trial
        return trial

    def update_trial(self, trial_id: str, metrics: dict[str, float], step: int = 0) -> Trial:
        """The trial; what a trial reports is read from its outcome, so nothing is added here."""
        return self.trials[trial_id]

    def end_trial(self, trial: Trial) -> None:
        """Marks a trial as completed, with the evaluation of the weights that it keeps as score."""
        self.ongoing_trials = {
            owner: other for owner, other in self.ongoing_trials.items() if other is not trial
        }
        self._complete(trial, self.playbook.outcomes[trial.trial_id])

    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        """Completed trials with a score: the chosen one, then the others from the best on."""
        scored = [
            t
            for t in self.trials.values()
            if t.status == TrialStatus.COMPLETED and t.score is not None
        ]
        sign = -1 if self.objective.direction == "max" else 1
        chosen = self.chosen_trial()
        return sorted(scored, key=lambda t: (t.trial_id != chosen, sign * t.score, t.trial_id))[
            :num_trials
        ]

    def chosen_trial(self) -> str | None:
        """Id of the trial whose weights were chosen last; `None` before one was."""
        return chosen_trial(self.playbook.in_force if self.playbook else ())

    def save(self, fname: str | None = None) -> None:
        """Does nothing: every event is in the study already."""

    def reload(self, fname: str | None = None) -> None:
        """Does nothing: `begin` reads the study."""

    def _trial(self, spec: TrialSpec) -> Trial:
        if spec.trial not in self.trials:
            made = PlaybookTrial(hyperparameters=self.get_space(), trial_id=spec.trial)
            self.trials[spec.trial] = made
            self.start_order.append(spec.trial)
        trial = self.trials[spec.trial]
        recipe, values = spec.recipe.to_dict(), trial.hyperparameters.values
        values.update(recipe.pop("hyperparameters"))
        values.update(self._of_optimizer.found(spec.recipe, values))
        values.update({f"kerastune/{name}": value for name, value in recipe.items()})
        values[SPEC] = json.dumps(spec.to_dict(), sort_keys=True)
        return trial

    def _complete(self, trial: Trial, outcome: Outcome) -> None:
        kept = (
            outcome.kept_evaluation(self.playbook.objective)
            if outcome.diverged_at is None
            else None
        )
        # A score on a part of its own ranks it nowhere.
        is_scored = kept is not None and not outcome.spec.repeat
        trial.status = TrialStatus.FAILED if outcome.error else TrialStatus.COMPLETED
        trial.score = kept[self.playbook.objective.name] if is_scored else None
        trial.best_step = None if kept is None else kept["step"]
        diverged = (
            None if outcome.diverged_at is None else f"diverged at step {outcome.diverged_at}"
        )
        stopped = next((note for note in outcome.notes if note.startswith("stopped by")), None)
        trial.message = outcome.error or diverged or stopped
        trials.put_history(trial, outcome, self.playbook.objective)
        if trial.trial_id not in self.end_order:
            self.end_order.append(trial.trial_id)
