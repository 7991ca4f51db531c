"""Why something was chosen or not: what was tried, what it gave, what would change the answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from kerastune.objective import Objective
from kerastune.playbook import wording
from kerastune.playbook.decision import Decision
from kerastune.playbook.stages import registry
from kerastune.recipe import Recipe
from kerastune.report.summaries import alternatives
from kerastune.report.summaries.alternatives import Alternative, Compared
from kerastune.runtime import naming
from kerastune.trial import Outcome

MOST_NAMED = 2  # of what was not chosen, beside a card
# The stage that chooses a value of the recipe.
STAGE_OF = {
    **dict.fromkeys(("optimizer", "momentum", "nesterov", "batch_size"), "batch"),
    "learning_rate": "lr",
    **dict.fromkeys(("decay", "decay_start", "decay_factor", "decay_interval"), "decay"),
    **dict.fromkeys(
        ("regularizers", "weight_decay", "dropout", "label_smoothing", "augmentation", "flip"),
        "regularize",
    ),
    "class_weights": "weights",
    **dict.fromkeys(("layer_decay", "layer_rate", "frozen", "head", "head_fraction"), "finetune"),
    "total_steps": "train",
    "hyperparameters": "model",
}
ALIASES = {"adam": ("optimizer", "adam"), "sgd": ("optimizer", "sgd")}
Asked = tuple[str, str | None]  # a value of the recipe, and what it might have been
NOT_IN_FORCE = (
    "Not in force: the extension has not ended, or its result was no better on validation."
)


@dataclasses.dataclass(frozen=True)
class Searched:
    """What answers are drawn from.

    Args:
        decisions: of the stages, those of extensions among them.
        in_force: those of the models that are handed out.
        outcomes: of all trials by name.
        objective: the validation value that chooses.
        measure: what models are compared by, as `Facts.scored_by`.
    """

    decisions: Sequence[Decision]
    in_force: Sequence[Decision]
    outcomes: Mapping[str, Outcome]
    objective: Objective
    measure: str

    @property
    def recipe(self) -> Recipe:
        """The recipe in force."""
        return self.in_force[-1].after

    def is_in_force(self, decision: Decision) -> bool:
        """Whether the models that are handed out are of a decision."""
        return decision.name in [each.name for each in self.in_force]

    def compared(self, decision: Decision) -> Compared:
        """What a stage compared."""
        return alternatives.of_decision(decision, self.outcomes, self.objective)


def not_chosen(found: Compared, measure: str, num_validation: int) -> tuple[str, ...]:
    """Why the closest of what a stage compared were not chosen, a sentence each.

    Args:
        found: what it compared.
        measure: what models are compared by, as `Facts.scored_by`.
        num_validation: validation examples.
    """
    named = [each for each in found.others if each.gain or each.note or each.loss is not None]
    return tuple(
        f"Not chosen: {each.words}. {changes(each, found, measure, num_validation)}"
        for each in named[:MOST_NAMED]
    )


def changes(each: Alternative, found: Compared, measure: str, num_validation: int) -> str:
    """What it would take to choose something that was not, in a sentence or two.

    Example:
        >>> from kerastune.analysis.comparison import Comparison
        >>> each = Alternative("dropout 0.3", gain=Comparison(0.01, -0.01, 0.03))
        >>> changes(each, Compared(), "accuracy", 200)
        'It was +1 points of accuracy (95 % CI -1 to +3): within the noise. If that is its true \
gain, about 800 validation examples would show it.'
    """
    if each.note:
        return f"It {each.note}."
    if each.gain is None:
        return _behind(each, found)
    told = f"It was {wording.gain(each.gain, measure)}"
    mean, half = each.gain.gain, (each.gain.high - each.gain.low) / 2
    if each.gain.high < 0:
        return f"{told}: significantly worse. No larger budget would change that."
    if mean <= 0:
        need = wording.gained(half, measure)
        more = f" It would have to gain more than {need}." if half else ""
        return f"{told}: not better.{more}"
    if each.gain.low > 0:
        return f"{told} with one seed; the stage's numbers tell why that was not enough."
    examples = max(round(num_validation * (half / mean) ** 2, -2), num_validation)
    return (
        f"{told}: within the noise. If that is its true gain, about {examples:,.0f} validation "
        "examples would show it."
    )


def examples_of(outcomes: Mapping[str, Outcome]) -> int:
    """Validation examples by which trials were compared; 0 where none were."""
    scores = (each.example_scores for each in outcomes.values() if not each.spec.repeat)
    return max((len(each) for each in scores if each is not None), default=0)


def _behind(each: Alternative, found: Compared) -> str:
    chosen = next((row for row in found.rows if row.is_chosen), None)
    if chosen is None or chosen.loss is None or each.loss is None:
        return "It was not compared example by example."
    if each.loss > chosen.loss:
        by = f"{each.loss:.3g} against {chosen.loss:.3g}"
        return f"Its training loss was behind ({by}): it would have to fall faster."
    by = f"{each.loss:.3g} against {chosen.loss:.3g}"
    return f"Its training loss was no worse ({by}): the stage's numbers tell what spoke against it."


def asked_for(text: str, recipe: Recipe) -> Asked | str:
    """What a question is about: a stage's name, or a value of the recipe.

    Args:
        text: as `"dropout"`, `"adam"`, `"batch_size=256"` or `"lr"`.
        recipe: the final one.

    Raises:
        ValueError: for what is neither.

    Example:
        >>> asked_for("batch_size=256", Recipe()), asked_for("adam", Recipe())
        (('batch_size', '256'), ('optimizer', 'adam'))
    """
    name, equals, value = text.strip().lower().replace("-", "_").partition("=")
    if name in registry.names() and not equals:
        return name
    if name in ALIASES and not equals:
        return ALIASES[name]
    known = [*STAGE_OF, *recipe.hyperparameters]
    if name in known:
        return name, value if equals else None
    hint = naming.did_you_mean(name, [*known, *registry.names(), *ALIASES]) or "."
    raise ValueError(
        f"{text!r} is no stage and no value of a recipe{hint} Ask for one of "
        f"{', '.join([*registry.names(), *STAGE_OF])}, or for a value as in batch_size=256."
    )


def answer(text: str, searched: Searched) -> list[str]:
    """The answer to a question, a line each.

    Args:
        text: the question; empty for all stages.
        searched: what the study holds.

    Raises:
        ValueError: for a question about nothing that there is.
    """
    if not searched.decisions:
        return ["No stage has decided yet."]
    if not text:
        return [line for each in searched.decisions for line in _of_stage(each, searched)]
    asked = asked_for(text, searched.recipe)
    if not isinstance(asked, str):
        return _of_value(asked, searched)
    own = [each for each in searched.decisions if each.stage == asked]
    if not own:
        return [f"{asked}: the stage has not decided; it was not among the stages, or is next."]
    told = [(each, _of_stage(each, searched, most=8)) for each in own]
    return [line for each, (first, *more) in told for line in (first, f"  {each.numbers}", *more)]


def _of_stage(decision: Decision, searched: Searched, most: int = 1) -> list[str]:
    compared, num_validation = searched.compared(decision), examples_of(searched.outcomes)
    told = [f"{decision.name}: {decision.headline}."]
    if not searched.is_in_force(decision):
        told.append(f"  {NOT_IN_FORCE}")
    for each in compared.others[:most]:
        words = changes(each, compared, searched.measure, num_validation)
        told.append(f"  not {each.words}: {words}")
    return told


def _of_value(asked: Asked, searched: Searched) -> list[str]:
    name, wanted = asked
    made = {decision.stage: decision for decision in searched.in_force}
    value, num_validation = _value_of(searched.recipe, name), examples_of(searched.outcomes)
    is_chosen = wanted is None or _is(value, wanted)
    named = name if wanted is None or not is_chosen else f"{name}={wanted}"
    shown = "" if named != name else f": {_shown(value)}"
    told = [f"{named}{shown} was chosen{_by_whom(name, made)}."]

    def is_asked(tried: Any) -> bool:
        return tried != value and (is_chosen or _is(tried, wanted))

    for decision in searched.decisions:
        compared, after = searched.compared(decision), _value_of(decision.after, name)
        for each in compared.others:
            if each.recipe is not None and is_asked(_value_of(each.recipe, name)):
                sentence = changes(each, compared, searched.measure, num_validation)
                told.append(f"  {each.words} (stage {decision.name}): {sentence}")
        is_change = after != _value_of(decision.before, name)
        if is_change and is_asked(after) and not searched.is_in_force(decision):
            told.append(f"  {name}={_shown(after)} (stage {decision.name}): {NOT_IN_FORCE}")
    if len(told) == 1 and named == name:
        told += _not_tried(name, wanted, made)
    return told


def _by_whom(name: str, made: Mapping[str, Decision]) -> str:
    """The last stage that changed a value, with what it decided; empty where none did."""
    for decision in reversed(made.values()):
        if _value_of(decision.before, name) != _value_of(decision.after, name):
            return f" by stage {decision.stage} ({decision.headline})"
    return ", as it was given"


def _not_tried(name: str, wanted: str | None, made: Mapping[str, Decision]) -> list[str]:
    stage = STAGE_OF.get(name, "model")
    other = f"{name}={wanted}" if wanted is not None else f"no other {name.replace('_', ' ')}"
    told = [f"  {other} was not tried."] if wanted else [f"  {other.capitalize()} was tried."]
    if stage in made:
        told.append(f"  Stage {stage}: {made[stage].headline}. {made[stage].numbers}")
    else:
        told.append(f"  Stage {stage}, which would try it, was not among the stages.")
    flag = f"--{name}={wanted}" if wanted is not None else f"--{name}=…"
    begun = f"kerastune tune with {flag}, which starts there, or kerastune train with it"
    return [*told, f"  To try it: a larger --budget, {begun}"]


def _value_of(recipe: Recipe, name: str) -> Any:
    given = recipe.hyperparameters
    return given[name] if name in given else getattr(recipe, name, None)


def _shown(value: Any) -> str:
    if value is None or value is False:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value).lower()


def _is(value: Any, wanted: str) -> bool:
    try:
        return abs(float(value) - float(wanted)) <= 1e-3 * abs(float(wanted))
    except (TypeError, ValueError):
        return _shown(value) == wanted
