"""What stages ask of the models that were trained so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from kerastune.analysis import loss_selection, nested
from kerastune.analysis.view_selection import IDENTITY
from kerastune.data import folds
from kerastune.inference import tta, views
from kerastune.playbook.ensemble_values import LeftOut, Validation
from kerastune.playbook.rules import bag
from kerastune.playbook.stages.tta import Looked
from kerastune.problem import OTHER, joined
from kerastune.study.database import Study
from kerastune.trial import State
from kerastune.tuner.final_models import FinalModels

MARGIN = 0.8  # of the time that is left, which views of a bag may take
BySingle = dict[str, tuple[np.ndarray, np.ndarray]]  # rows and predictions, by view


class StudyStates(Mapping[str, State]):
    """The kept weights of every trial by name, each read from the study when it is asked for."""

    def __init__(self, study: Study):
        self._study = study

    def __getitem__(self, trial: str) -> State:
        if (state := self._study.checkpoint(trial, "best")) is None:
            raise KeyError(trial)
        return state

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._study.outcomes() if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class StageModels:
    """Answers stages that choose among trained models, when they decide.

    Args:
        models: gives the models so far, with weights from the study.

    Example:
        >>> asked = StageModels(search.models_so_far)  # doctest: +SKIP
        >>> asked.validation().predict("train-500").shape  # doctest: +SKIP
        (360, 10)
    """

    def __init__(self, models: Callable[[], FinalModels]):
        self._models = models

    def validation(self) -> Validation:
        """What the ensemble is chosen on."""
        models = self._models()
        problem = models.problem
        part, is_other = problem.validation, problem.kind == OTHER
        return Validation(
            None if is_other else models.targets(part),
            lambda trial: models.predictions(trial, part.x),
            lambda predictions: models.figures(part, predictions),
            losses=(lambda outputs: models.judge(part).losses(outputs)) if is_other else None,
            most=loss_selection.most_held(len(part), problem.output_numbers) if is_other else None,
        )

    def left_out(self) -> LeftOut:
        """What a bag is judged on."""
        models = self._models()
        both = joined(models.problem.train, models.problem.validation)

        def predict(trial: str) -> tuple[np.ndarray, np.ndarray]:
            rows, x = self._held_out(models, trial)
            return rows, models.predictions(trial, x)

        return LeftOut(models.targets(both), predict)

    def look(self) -> tuple[dict[str, np.ndarray], np.ndarray, dict[str, dict[str, Any]]]:
        """What the views are chosen on.

        Predictions are those of the kept ensemble, or else of the chosen trial. Once training would
        be stopped for lack of time, the views that are left are not looked at.

        Returns:
            Predictions of the validation examples by view, their targets, and the settings of every
            view. There are no predictions without a chosen trial, or for inputs that no view fits.
            A view whose predictions are not finite is left out.
        """
        models = self._models()
        if models.ensemble is not None and models.ensemble.repeats:
            return self._look_with_bag(models)
        part = models.problem.validation
        found, targets = candidates(part.x), models.targets(part)
        if models.chosen is None or not found:
            return {}, targets, {}
        said = tta.predictions(
            models.before_views(),
            part.x,
            found,
            models.problem.kind,
            is_late=lambda: models.trainer.seconds_left() <= 0,
        )
        return _sound(said, models.problem.target_std), targets, _settings(found)

    def _look_with_bag(self, models: FinalModels) -> Looked:
        """As `look`, of all examples that are no test examples, each by the members that left it
        out.
        """
        bagged, known = models.ensemble, self.left_out()
        found = candidates(models.problem.validation.x)

        def predict(trial: str, wanted: dict[str, views.View]) -> BySingle:
            rows, x = self._held_out(models, trial)
            return {
                name: (rows, each)
                for name, each in models.predictions_of_views(trial, x, wanted).items()
            }

        by_member: list[BySingle] = [{}]
        if found:
            # As many views as there is time to show to every member, by what the first one took.
            first, *others = bagged.weights
            left = models.trainer.seconds_left()
            by_member = [predict(first, found)]
            left, used = models.trainer.seconds_left(), left - models.trainer.seconds_left()
            count = fitting(len(found), used * len(others), MARGIN * left)
            wanted = dict(list(found.items())[:count])
            by_member += [predict(trial, wanted) for trial in others]
        said = {
            name: bag.out_of_fold([each[name] for each in by_member], len(known.targets))
            for name in by_member[0]
            if all(name in each for each in by_member)
        }
        return _sound(said, models.problem.target_std), known.targets, _settings(found)

    def _held_out(self, models: FinalModels, trial: str) -> tuple[np.ndarray, Any]:
        """Numbers of the examples that a member of a bag left out, and their inputs."""
        spec, problem = models.playbook.outcomes[trial].spec, models.problem
        rows = folds.of_all(problem, spec.folds, spec.left_out, spec.repeat).held_out
        return rows, joined(problem.train, problem.validation).take(rows).x

    def weights(self, trial: str) -> list[np.ndarray]:
        """The kept weights of a trial."""
        return self._models().states[trial].model


def fitting(count: int, seconds: float, left: float) -> int:
    """How many of some things fit into the time that is left.

    Args:
        count: of the things.
        seconds: that all of them take.
        left: seconds; infinite where nothing is measured.

    Example:
        >>> fitting(40, 10.0, 5.0), fitting(40, 10.0, 20.0), fitting(40, 10.0, -1.0)
        (20, 40, 0)
    """
    return count if seconds <= left or math.isinf(left) else max(int(count * left / seconds), 0)


def _sound(said: dict[str, np.ndarray], unit: float) -> dict[str, np.ndarray]:
    """Predictions by view that are finite, in units of the targets; none without the identity."""
    sound = {name: each / unit for name, each in said.items() if np.isfinite(each).all()}
    return sound if IDENTITY in sound else {}


def _settings(found: Mapping[str, views.View]) -> dict[str, dict[str, Any]]:
    return {name: views.to_values(view) for name, view in found.items()}


def candidates(x: Any) -> dict[str, views.View]:
    """The views that are tried for prepared inputs, by name.

    They are those for one array of this shape that take its type.

    Example:
        >>> list(candidates(np.zeros([9, 4]))), candidates(np.zeros([9, 4], int))
        (['noise-1', 'noise-2', 'noise-3', 'noise-4'], {})
        >>> candidates({"a": np.zeros([9, 4])})
        {}
    """
    if nested.is_nested(x) or np.asarray(x).dtype.kind not in "iuf":
        return {}
    found = views.candidates(x.shape[1:])
    return {name: view for name, view in found.items() if view.takes(x, view.ranks)}
