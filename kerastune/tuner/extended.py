"""A search that goes on with more budget: what is done, and which result is handed out."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from kerastune.budget import Budget
from kerastune.objective import Objective
from kerastune.playbook import extending
from kerastune.study import extensions
from kerastune.study.database import Study
from kerastune.study.extensions import Extension
from kerastune.tuner.final_figures import EXPORTED, FINAL
from kerastune.tuner.settings import Settings

LIST = "extensions"  # name in `result.json` of what the search and its extensions came to
# What results are compared by where they have neither the objective nor what is nearest to it.
LAST = ("nll", "min"), ("rmse", "min"), ("loss", "min")


def parts(study: Study, asked: Settings) -> list[Settings]:
    """What a search does on its study: itself, an extension, or both one after the other.

    A budget that extends begins a new extension, unless the last one has not ended: then that goes
    on, so that a command that is given again after a crash extends once. Any other budget goes on
    with what there is.

    Args:
        study: of the search.
        asked: its settings.

    Raises:
        ValueError: for an extension of nothing, in another unit, or by other than that which has
            not ended.
    """
    known, first = extensions.read(study), study.setting("budget")
    if not asked.budget.extends:
        return [dataclasses.replace(asked, extension=known[-1])] if known else [asked]
    extending.check(study, asked.budget)
    itself = dataclasses.replace(asked, budget=Budget.parse(first))
    if known and not extensions.has_ended(study, known[-1]):
        return [dataclasses.replace(itself, extension=known[-1])]
    new = Extension(len(known) + 1, str(asked.budget))
    has_ended = study.fact("result") is not None
    return [*([] if has_ended else [itself]), dataclasses.replace(itself, extension=new)]


def in_all(study: Study, settings: Settings) -> Budget:
    """The budget that is spent when the search, or its extension, ends, with what was spent before
    it.
    """
    if settings.extension is None:
        return settings.budget
    known, added = extensions.read(study), Budget.parse(settings.extension.budget)
    is_begun = settings.extension.number <= len(known)
    if added.steps is None:
        before = known[-1].seconds if is_begun else study.seconds()
        return Budget(seconds=before + added.seconds)
    trained = sum(outcome.steps for outcome in study.outcomes().values())
    return Budget(steps=(known[-1].steps if is_begun else trained) + added.steps)


def better(
    new: Mapping[str, Any], earlier: Mapping[str, Any], objective: Objective
) -> dict[str, Any]:
    """The figures of the result that is handed out: the new one where its validation value is
    better, else the earlier one.

    Args:
        new: figures as `results.result` gives them, with the number of the `"extension"`.
        earlier: those that were handed out before.
        objective: the validation value that chooses.

    Returns:
        Figures, with what each came to under `LIST`.
    """
    found, before = (_exported(each).get("validation", {}) for each in (new, earlier))
    name, direction = _deciding(found.keys() & before.keys(), new["scored_by"], objective)
    sign = 1 if direction == "max" else -1
    is_better = not before or (name in found and sign * found[name] > sign * before[name])
    chosen = new if is_better else earlier
    told = [*(earlier.get(LIST) or [_told(earlier)]), _told(new)]
    of_search = {each: new[each] for each in ("seconds", "stages", "other_seconds")}
    budget = f"{earlier['budget']}{new['budget']}"
    return {**chosen, **of_search, "budget": budget, LIST: told}


def _deciding(names: Collection[str], scored_by: str, objective: Objective) -> tuple[str, str]:
    """Name and direction of the figure that results are compared by, of those that both have."""
    # Losses of examples are no figure; `LAST` has the loss.
    measures = [] if scored_by == "loss" else [(scored_by.replace("-", "_").lower(), "max")]
    wanted = (objective.name, objective.direction), *measures, *LAST
    return next((each for each in wanted if each[0] in names), wanted[0])


def _exported(figures: Mapping[str, Any]) -> Mapping[str, Any]:
    """Figures of the model that is handed out; a refit has none on validation."""
    found = figures.get(figures.get(EXPORTED, {}).get("model"), {})
    return found if "validation" in found else figures.get(FINAL, {})


def _told(figures: Mapping[str, Any]) -> dict[str, Any]:
    """What a result came to, for those that follow."""
    return {
        "extension": figures["extension"],
        "budget": figures["budget"],
        "model": figures.get(EXPORTED, {}).get("model", ""),
        **_exported(figures),
    }
