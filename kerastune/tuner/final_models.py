"""What is made of trained models: the ensemble, the views that it, or the single model, looks at,
and a pruned one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from kerastune.analysis import calibration, comparison, ensemble_selection, error_analysis
from kerastune.analysis.ensemble_selection import Blend
from kerastune.analysis.view_selection import IDENTITY
from kerastune.inference import averaging, tta, views
from kerastune.models import output_kind, scoring
from kerastune.playbook.driver import Playbook
from kerastune.playbook.stages.base import Decision
from kerastune.playbook.stages.distill import Distill
from kerastune.playbook.stages.ensemble import Ensemble, Validation
from kerastune.playbook.stages.prune import Prune
from kerastune.playbook.stages.tta import Tta
from kerastune.problem import Part, Problem, labels
from kerastune.recipe import Recipe
from kerastune.training.trainer import Trainer, sample
from kerastune.trial import State

CALIBRATED = "calibrated"


def validation(trainer: Trainer, playbook: Playbook) -> Validation:
    """What the ensemble is chosen on; the kept weights of a trial come from the study."""
    problem, part = trainer.problem, trainer.problem.validation

    def predict(trial: str) -> np.ndarray:
        recipe = playbook.outcomes[trial].spec.recipe
        return _predictions(trainer, recipe, playbook.study.checkpoint(trial, "best"), part.x)

    return Validation(
        _targets(problem, part),
        predict,
        lambda predictions: scoring.figures(problem, part, predictions, logits=False),
    )


def look(
    trainer: Trainer, playbook: Playbook, chosen: str | None
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """What the views are chosen on: predictions of the validation examples in every view, and their
    targets.

    They are those of the kept ensemble, or else of the chosen trial, with weights from the study.
    There are none without a chosen trial, or for inputs that no view fits; once training would be
    stopped for lack of time, the views that are left are not looked at. A view whose predictions
    are not finite is left out.
    """
    part = trainer.problem.validation
    found, targets = candidates(part.x), _targets(trainer.problem, part)
    if chosen is None or not found:
        return {}, targets
    states = {name: playbook.study.checkpoint(name, "best") for name in _members(playbook, chosen)}
    model = _without_views(trainer, playbook, states, chosen)
    said = tta.predictions(model, part.x, found, trainer.problem.kind, trainer.deadline)
    sound = {name: each for name, each in said.items() if np.isfinite(each).all()}
    return sound if IDENTITY in sound else {}, targets


def candidates(x: Any) -> dict[str, views.View]:
    """The views that are tried for prepared inputs, by name: those of one array's shape that fit
    its type.

    Example:
        >>> list(candidates(np.zeros([9, 4]))), candidates(np.zeros([9, 4], int)), candidates({"a": np.zeros([9, 4])})
        (['noise-1', 'noise-2', 'noise-3', 'noise-4'], {}, {})
    """
    if isinstance(x, Mapping) or np.asarray(x).dtype.kind not in "iuf":
        return {}
    return {
        name: view
        for name, view in views.candidates(x.shape[1:]).items()
        if view.takes(x, view.ranks)
    }


def kept_ensemble(playbook: Playbook) -> Decision | None:
    """The decision for an ensemble; `None` where one model is what comes back."""
    return _kept(playbook, Ensemble.name)


def kept_views(playbook: Playbook) -> Decision | None:
    """The decision for views that are averaged; `None` where examples are predicted as they are."""
    return _kept(playbook, Tta.name)


def _kept(playbook: Playbook, stage: str) -> Decision | None:
    made = [decision for decision in playbook.decisions if decision.stage == stage]
    return made[-1] if made and made[-1].values.get("kept") else None


def ensemble_model(
    trainer: Trainer, playbook: Playbook, states: Mapping[str, State]
) -> keras.Model:
    """The kept ensemble as one model, raw inputs in, probabilities or the user's units out; needs
    no kerastune.
    """
    return _attached(
        trainer.problem, _assembled(trainer, playbook, states, kept_ensemble(playbook))
    )


def tta_model(
    trainer: Trainer, playbook: Playbook, states: Mapping[str, State], single: str
) -> keras.Model:
    """As `ensemble_model`, around it or the single model: what averages over the kept views."""
    problem, values = trainer.problem, kept_views(playbook).values
    model = _without_views(trainer, playbook, states, single)
    named, weights = _views_of(problem, values)
    settings = (problem.kind, sample(problem.validation.x), values.get("temperature", 1.0))
    return _attached(problem, tta.wrap(model, named, weights, *settings))


def calibrated_model(
    trainer: Trainer,
    playbook: Playbook,
    states: Mapping[str, State],
    single: str,
    temperature: float,
) -> keras.Model:
    """As `ensemble_model`, of the single model and its temperature."""
    problem, model = (
        trainer.problem,
        trainer.finished_model(playbook.outcomes[single].spec.recipe, states[single]),
    )
    settings = {
        "temperature": temperature,
        "kind": problem.kind,
        "sample": sample(problem.validation.x),
    }
    return _attached(problem, averaging.assemble([model], [1.0], **settings, name=CALIBRATED))


def figures(
    trainer: Trainer, playbook: Playbook, states: Mapping[str, State], chosen: str, single: str
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Figures of the kept ensemble and of the kept views, what each gains on the test part, and
    what they gave there.

    Args:
        trainer: of the search.
        playbook: of the search, when every stage has decided.
        states: kept weights by trial.
        chosen: the trial that the search came to.
        single: the trial whose weights are handed over as the single model: the same, or its refit.

    Returns:
        A pair. First `{"ensemble": {"validation": {...}, "test": {...}}, "gain of the ensemble":
        {...}}`, and the same
        of `"tta"` and the `"gain of the views"`, over what it looks through them; of the
        `"unpruned"` model, and the
        `"gain of the pruning"` over it; of the student `"alone"`, and the `"gain of the teaching"`.
        What is not kept is
        left out. A gain holds the mean paired difference and the ends of its 95 % interval.
        `"calibrated"` is the single
        model with its temperature, where it alone is handed over. `"handed over"` tells of the last
        of these, by its
        name under `"model"`: its last `"temperature"`, by how much that lowers the log-likelihood
            loss as `"gain"`, and
        figures of calibration `"before"` and `"after"` it, on validation, cross-fitted. Then, of
        ensemble, views and
        calibrated model by the same names, probabilities `[n, classes]` or numbers `[n, outputs]`
        of the test part;
        nothing where there is none.
    """
    found: dict[str, Any] = {}
    outputs: dict[str, np.ndarray] = {}
    if (decision := kept_ensemble(playbook)) is not None:
        found["ensemble"] = {"validation": decision.values["validation"]["after"]}
        if trainer.problem.test is not None:
            outputs["ensemble"], alone = _of_ensemble(trainer, playbook, states, decision.values)
            found["gain of the ensemble"] = _gain(
                playbook, trainer.problem, outputs["ensemble"], alone
            )
    if (decision := kept_views(playbook)) is not None:
        found["tta"] = {"validation": decision.values["validation"]["after"]}
        if trainer.problem.test is not None:
            model = _without_views(trainer, playbook, states, single)
            outputs["tta"], alone = _of_views(trainer.problem, model, decision.values)
            found["gain of the views"] = _gain(playbook, trainer.problem, outputs["tta"], alone)
    found["handed over"] = _handed_over(trainer, playbook, states, chosen, single)
    if found["handed over"]["model"] == CALIBRATED:
        found[CALIBRATED] = {"validation": found["handed over"].pop("figures")}
        if trainer.problem.test is not None:
            alone = _predictions(
                trainer,
                playbook.outcomes[single].spec.recipe,
                states[single],
                trainer.problem.test.x,
            )
            outputs[CALIBRATED] = calibration.tempered(alone, found["handed over"]["temperature"])
    for stage, before, what in (
        (Prune.name, "unpruned", "pruning"),
        (Distill.name, "alone", "teaching"),
    ):
        if (decision := _kept(playbook, stage)) is not None:
            trials = (decision.values["trial"], decision.values[before])
            figures_before, gain = _of_another(trainer, playbook, states, *trials)
            found |= {before: figures_before} | ({f"gain of the {what}": gain} if gain else {})
    for name, given in outputs.items():
        found[name]["test"] = scoring.figures(
            trainer.problem, trainer.problem.test, given, logits=False
        )
    return found, outputs


def _handed_over(
    trainer: Trainer, playbook: Playbook, states: Mapping[str, State], chosen: str, single: str
) -> dict[str, Any]:
    """What is handed over at last, and what its last temperature does; `"figures"` only of a
    calibrated single model.
    """
    for name, decision in (("tta", kept_views(playbook)), ("ensemble", kept_ensemble(playbook))):
        if decision is not None:
            both = (decision.values["validation"][when] for when in ("before", "after"))
            return {"model": name, **_calibration(decision.values, *both)}
    name = "tuned" if single == chosen else single
    problem, part = trainer.problem, trainer.problem.validation
    if problem.kind == "regression":
        return {"model": name}
    predictions = _predictions(
        trainer, playbook.outcomes[chosen].spec.recipe, states[chosen], part.x
    )
    found = ensemble_selection.calibrated(predictions, _targets(problem, part))
    before, after = (
        scoring.figures(problem, part, each, logits=False) for each in (found.before, found.after)
    )
    values = {"temperature": found.value, "temperature gain": comparison.named(found.gain)}
    told = {"model": name, **_calibration(values, before, after)}
    return told if found.value == 1 else told | {"model": CALIBRATED, "figures": after}


def _calibration(
    values: dict[str, Any], before: Mapping[str, float], after: Mapping[str, float]
) -> dict[str, Any]:
    if "ece" not in after:
        return {}
    named = [
        {name: figures[name] for name in ("nll", "ece", "brier")} for figures in (before, after)
    ]
    told = {"temperature": values["temperature"], "gain": values["temperature gain"]}
    return told | {"before": named[0], "after": named[1]}


def _of_ensemble(
    trainer, playbook, states, values: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """What the ensemble, and its best single model, give for the test part."""
    names = {values["trial"]: None, **values["weights"]}
    predicted = {
        name: _predictions(
            trainer, playbook.outcomes[name].spec.recipe, states[name], trainer.problem.test.x
        )
        for name in names
    }
    blend = Blend(np.array(list(values["weights"].values())), values["mean"], values["temperature"])
    return blend.combine(np.stack([predicted[name] for name in values["weights"]])), predicted[
        values["trial"]
    ]


def _of_views(
    problem: Problem, model: keras.Model, values: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """What a model gives for the test part through its views, and without."""
    named, weights = _views_of(problem, values)
    said = tta.predictions(model, problem.test.x, named, problem.kind)
    averaged = np.tensordot(weights, np.stack(list(said.values())), axes=1)
    return calibration.tempered(averaged, values.get("temperature", 1.0)), said[IDENTITY]


def _of_another(
    trainer: Trainer, playbook: Playbook, states: Mapping[str, State], kept: str, before: str
) -> tuple[dict[str, Any], dict[str, float]]:
    """Figures of the trial that another takes the place of, and what that gains on the test part,
    if there is one.
    """
    problem = trainer.problem

    def predictions(trial: str, part: Part) -> np.ndarray:
        return _predictions(trainer, playbook.outcomes[trial].spec.recipe, states[trial], part.x)

    def figures_of(part: Part) -> dict[str, float]:
        return scoring.figures(problem, part, predictions(before, part), logits=False)

    found = {"validation": figures_of(problem.validation)}
    if problem.test is None:
        return found, {}
    found["test"] = figures_of(problem.test)
    return found, _gain(
        playbook, problem, *(predictions(trial, problem.test) for trial in (kept, before))
    )


def _gain(
    playbook: Playbook, problem: Problem, one: np.ndarray, other: np.ndarray
) -> dict[str, float]:
    targets = _targets(problem, problem.test)
    by_example = [
        ensemble_selection.example_scores(each, targets, playbook.scored_by)
        for each in (one, other)
    ]
    return comparison.named(comparison.difference(*by_example))


def _views_of(
    problem: Problem, values: dict[str, Any]
) -> tuple[dict[str, views.View], list[float]]:
    """Kept views by name, and the weights of the example as it is and of them."""
    found = candidates(problem.validation.x)
    return {name: found[name] for name in values["views"]}, values["weights"]


def _members(playbook: Playbook, single: str) -> list[str]:
    decision = kept_ensemble(playbook)
    return [single] if decision is None else list(decision.values["weights"])


def _without_views(
    trainer: Trainer, playbook: Playbook, states: Mapping[str, State], single: str
) -> keras.Model:
    """What takes prepared inputs, before any views: the kept ensemble, or else the single model."""
    if (decision := kept_ensemble(playbook)) is not None:
        return _assembled(trainer, playbook, states, decision)
    return trainer.finished_model(playbook.outcomes[single].spec.recipe, states[single])


def _assembled(
    trainer: Trainer, playbook: Playbook, states: Mapping[str, State], decision: Decision
) -> keras.Model:
    weights, problem = decision.values["weights"], trainer.problem
    members = [
        trainer.finished_model(playbook.outcomes[name].spec.recipe, states[name])
        for name in weights
    ]
    settings = (
        decision.values["mean"],
        decision.values["temperature"],
        problem.kind,
        sample(problem.validation.x),
    )
    return averaging.assemble(members, list(weights.values()), *settings)


def _attached(problem: Problem, model: keras.Model) -> keras.Model:
    return model if problem.attach is None else problem.attach(model)


def _predictions(trainer: Trainer, recipe: Recipe, state: State, x: Any) -> np.ndarray:
    """Probabilities `[n, classes]` or numbers `[n, outputs]` for prepared inputs."""
    found = trainer.outputs(recipe, state, x)
    if trainer.problem.kind == "regression":
        return found.reshape(len(found), -1)
    model = trainer.compiled(recipe).model
    return error_analysis.probabilities(
        found, output_kind.gives_logits(model, sample(trainer.problem.validation.x))
    )


def _targets(problem: Problem, part: Part) -> np.ndarray:
    return labels(part.y) if problem.kind == "classification" else part.y.reshape(len(part), -1)
