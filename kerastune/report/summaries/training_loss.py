"""What a recorded training loss includes that validation loss does not, in words.

Penalties of a model's own regularizers are in both, decoupled weight decay is in neither.
"""

from __future__ import annotations

from collections.abc import Mapping

from kerastune.trial import TrialSpec

MOST_NAMED = 2  # trials


def beyond(spec: TrialSpec) -> str:
    """What the loss of a trial's training steps has beyond the loss that validation measures.

    Example:
        >>> from kerastune.recipe import Recipe
        >>> beyond(TrialSpec("lr-0.1", "lr", Recipe(label_smoothing=0.1), 0, 100))
        'label smoothing 0.1'
        >>> beyond(TrialSpec("lr-0.1", "lr", Recipe(), 0, 100))
        ''
    """
    recipe = spec.recipe
    told = [f"label smoothing {recipe.label_smoothing:g}"] * bool(recipe.label_smoothing)
    told += ["class weights"] * (recipe.class_weights != "none")
    told += [f"a teacher's share of {spec.mix:g}"] * bool(spec.mix)
    return " and ".join(told)


def noted(trials: Mapping[str, TrialSpec]) -> str:
    """The same of several trials, to be put behind "training loss"; empty where there is nothing.

    Args:
        trials: by what they are called.

    Example:
        >>> from kerastune.recipe import Recipe
        >>> plain = TrialSpec("a", "lr", Recipe(), 0, 100)
        >>> smooth = TrialSpec("b", "lr", Recipe(label_smoothing=0.1), 0, 100)
        >>> noted({"b": smooth}), noted({"a": plain, "b": smooth}), noted({"a": plain})
        (' (with label smoothing 0.1)', ' (of b with label smoothing 0.1)', '')
    """
    by_words: dict[str, list[str]] = {}
    for name, spec in trials.items():
        by_words.setdefault(beyond(spec), []).append(name)
    if len(by_words) == 1:
        words = next(iter(by_words))
        return f" (with {words})" if words else ""
    told = [f"{_named(names)} with {words}" for words, names in by_words.items() if words]
    return f" ({', '.join(told)})" if told else ""


def _named(names: list[str]) -> str:
    return f"of {' and '.join(names)}" if len(names) <= MOST_NAMED else "partly"


def of_many(trials: Mapping[str, TrialSpec]) -> str:
    """The same of all trials of a search, in a sentence; empty where there is nothing.

    Args:
        trials: by name.
    """
    told = sorted({beyond(spec) for spec in trials.values()} - {""})
    if not told:
        return ""
    which = "Training loss" if all(map(beyond, trials.values())) else "Training loss of some trials"
    return f"{which} includes {' or '.join(told)}, which validation loss does not."
