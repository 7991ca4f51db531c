"""The models that a search makes of its trainings: single, ensemble, with views, calibrated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from kerastune.analysis import calibration, error_analysis
from kerastune.analysis.ensemble_selection import Blend
from kerastune.analysis.view_selection import IDENTITY
from kerastune.inference import averaging, tta, views
from kerastune.inference.any_outputs import OutputJudge
from kerastune.models import compiling, output_kind, scoring
from kerastune.playbook.decision import Values
from kerastune.playbook.driver import Playbook
from kerastune.playbook.ensemble_values import EnsembleValues
from kerastune.playbook.stages.ensemble import Ensemble
from kerastune.playbook.stages.tta import Tta, TtaValues
from kerastune.problem import OTHER, Part, Problem, labels
from kerastune.recipe import Recipe
from kerastune.training import optimizers
from kerastune.training.compiled_model import assign
from kerastune.training.trainer import Trainer, sample
from kerastune.trial import State
from kerastune.tuner import refit

CALIBRATED = "calibrated"


class FinalModels:
    """The models of a search, with what each of them predicts.

    What a stage chose (members, views and their sizes, weights, temperatures) is read from its
    decision. Models whose names end in `_model` take raw inputs, give probabilities or numbers in
    the user's units, and load without kerastune; all predictions here are of prepared inputs.

    Args:
        trainer: of the search.
        playbook: of the search.
        states: kept weights by trial.
        chosen: the trial that was chosen last; `None` when there is none.

    Example:
        >>> models = FinalModels(trainer, playbook, states, "train-500")  # doctest: +SKIP
        >>> models.single_model().save("model.keras")  # doctest: +SKIP
    """

    def __init__(
        self,
        trainer: Trainer,
        playbook: Playbook,
        states: Mapping[str, State],
        chosen: str | None,
    ):
        self.trainer, self.playbook, self.states, self.chosen = trainer, playbook, states, chosen
        self._judged: Part | None = None
        self._judge: OutputJudge | None = None

    @property
    def problem(self) -> Problem:
        """What the models were trained on."""
        return self.trainer.problem

    @property
    def single(self) -> str | None:
        """The trial whose weights the single model has: the chosen one, or its refit."""
        return self.refit if self.refit in self.states else self.chosen

    @property
    def refit(self) -> str:
        """The trial that would be the refit of the chosen one."""
        decided = self.playbook.in_force
        return refit.trial(decided[-1].extension if decided else 0)

    @property
    def ensemble(self) -> EnsembleValues | None:
        """What the decision for an ensemble chose; `None` for a single model."""
        return self.kept(Ensemble.name)

    @property
    def views(self) -> TtaValues | None:
        """What the decision for views chose; `None` where examples are predicted as they are."""
        return self.kept(Tta.name)

    def kept(self, stage: str) -> Values | None:
        """The values of a stage's decision, where it kept what it tried; else `None`."""
        made = [each.values for each in self.playbook.in_force if each.stage == stage]
        return made[-1] if made and made[-1].kept else None

    def recipe(self, trial: str) -> Recipe:
        """The recipe of a trial."""
        return self.playbook.outcomes[trial].spec.recipe

    # Models as they are saved.

    def trial_model(self, trial: str) -> keras.Model:
        """The model of a trial with its kept weights, compiled with a stock Keras optimizer."""
        return self._compiled(self.recipe(trial), self.states[trial])

    def single_model(self) -> keras.Model:
        """The single model, compiled with a stock Keras optimizer of the chosen recipe."""
        return self._compiled(self.recipe(self.chosen), self.states[self.single])

    def ensemble_model(self) -> keras.Model:
        """The kept ensemble as one model; not compiled."""
        return self._attached(self._combined())

    def tta_model(self) -> keras.Model:
        """The kept ensemble, or else the single model, averaged over the kept views."""
        chosen, settings, before = self.views, self._output_settings(), self.before_views()
        wrapped = tta.wrap(
            before, _views(chosen), chosen.weights, temperature=chosen.temperature, **settings
        )
        compiling.forget(before)
        return self._attached(wrapped)

    def calibrated_model(self, temperature: float) -> keras.Model:
        """The single model with a temperature."""
        settings = {"temperature": temperature, "name": CALIBRATED, **self._output_settings()}
        single = self._finished(self.single)
        tempered = averaging.assemble([single], [1.0], **settings)
        compiling.forget(single)
        return self._attached(tempered)

    # What they predict.

    def before_views(self) -> keras.Model:
        """What views are shown to, of prepared inputs: the kept ensemble, or the single model."""
        return self._finished(self.single) if self.ensemble is None else self._combined()

    def predictions(self, trial: str, x: Any) -> np.ndarray:
        """Predictions of a trial's kept weights.

        Returns:
            Probabilities `[n, classes]`, or numbers `[n, outputs]` in standard deviations of the
            training targets, or `any_outputs.rows` where these are of kind `"other"`.
        """
        found = self.trainer.outputs(self.recipe(trial), self.states[trial], x)
        if self.problem.kind == OTHER:
            return found
        if self.problem.kind == "regression":
            return found.reshape(len(found), -1) / self.problem.target_std
        model = self.trainer.compiled(self.recipe(trial)).model
        few = sample(self.problem.validation.x)
        return error_analysis.probabilities(found, output_kind.gives_logits(model, few))

    def predictions_of_views(
        self, trial: str, x: Any, found: Mapping[str, keras.layers.Layer]
    ) -> dict[str, np.ndarray]:
        """What a trial's kept weights say of every view, as `tta.predictions` has it."""
        model = self.trainer.compiled(self.recipe(trial)).model
        assign(model.variables, self.states[trial].model)
        is_late = self.trainer.seconds_left
        return tta.predictions(model, x, found, self.problem.kind, lambda: is_late() <= 0)

    def ensemble_predictions(self, x: Any) -> np.ndarray:
        """As `predictions`, of the kept ensemble."""
        chosen = self.ensemble
        if self.problem.kind == OTHER:  # which may be large: one after another
            return sum(
                np.float32(w) * self.predictions(name, x) for name, w in chosen.weights.items()
            )
        members = np.stack([self.predictions(name, x) for name in chosen.weights])
        weights = np.array(list(chosen.weights.values()))
        return Blend(weights, chosen.mean, chosen.temperature).combine(members)

    def tta_predictions(self, x: Any) -> tuple[np.ndarray, np.ndarray]:
        """As `predictions`, over the kept views and, second, of the examples as they are."""
        chosen = self.views
        said = tta.predictions(self.before_views(), x, _views(chosen), self.problem.kind)
        unit = self.problem.target_std
        averaged = np.tensordot(chosen.weights, np.stack(list(said.values())), axes=1)
        tempered = calibration.tempered(averaged / unit, chosen.temperature)
        return tempered, said[IDENTITY] / unit

    def figures(self, part: Part, predictions: np.ndarray) -> dict[str, float]:
        """Figures of merit of predictions, as `predictions` gives them, by name."""
        if self.problem.kind == OTHER:
            return self.judge(part).figures(predictions)
        outputs = predictions * self.problem.target_std
        return scoring.figures(self.problem, part, outputs, logits=False)

    def judge(self, part: Part) -> OutputJudge:
        """What the loss and the metrics say of `predictions` of kind `"other"`."""
        if part is not self._judged:
            model = self._finished(self.single or next(iter(self.states)))
            self._judged, self._judge = part, OutputJudge(model, part)
        return self._judge

    def targets(self, part: Part) -> np.ndarray:
        """Integer classes `[n]`, or numbers `[n, outputs]` in the units of `predictions`."""
        if self.problem.kind == "classification":
            return labels(part.y)
        return part.y.reshape(len(part), -1) / self.problem.target_std

    def _finished(self, trial: str) -> keras.Model:
        """The model of a trial to predict with, or to be a part of another one."""
        return self.trainer.finished_model(self.recipe(trial), self.states[trial], trains=False)

    def _combined(self) -> keras.Model:
        chosen = self.ensemble
        members = [self._finished(name) for name in chosen.weights]
        made = averaging.assemble(
            members,
            list(chosen.weights.values()),
            chosen.mean,
            chosen.temperature,
            **self._output_settings(),
        )
        for member in members:
            compiling.forget(member)
        return made

    def _output_settings(self) -> dict[str, Any]:
        """What tells how a model's outputs are averaged."""
        return {"kind": self.problem.kind, "sample": sample(self.problem.validation.x)}

    def _attached(self, model: keras.Model) -> keras.Model:
        return model if self.problem.attach is None else self.problem.attach(model)

    def _compiled(self, recipe: Recipe, state: State) -> keras.Model:
        model, problem = self.trainer.finished_model(recipe, state), self.problem
        if problem.attach is None:
            return model
        compiled, settings = model._compile_config.config, optimizers.kept_settings(model)
        model = problem.attach(model)
        model.compile(**{**compiled, "optimizer": optimizers.stock(recipe, **settings)})
        model.optimizer.build(model.trainable_variables)
        return model


def _views(chosen: TtaValues) -> dict[str, keras.layers.Layer]:
    return {name: views.from_values(chosen.layers[name]) for name in chosen.views}
