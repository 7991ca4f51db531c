"""What a stage decided in one row: headline, what it gained, and the seconds that it took."""

from __future__ import annotations

from kerastune.analysis.comparison import Comparison
from kerastune.playbook import wording
from kerastune.playbook.decision import Decision, Values


def row(decision: Decision, seconds: float, measure: str) -> tuple[str, str, str, str]:
    """Name, headline, gain and seconds of a stage, as they stand on the screen.

    Args:
        decision: of the stage.
        seconds: that it took.
        measure: what models are compared by, as `Facts.scored_by`.

    Example:
        >>> from kerastune.playbook.stages.train import TrainValues
        >>> from kerastune.recipe import Recipe
        >>> found = TrainValues(gain=Comparison(0.026, 0.019, 0.032))
        >>> row(Decision("train", Recipe(), Recipe(), "It is", "so", (), found), 2.43, "accuracy")
        ('train', 'It is', '+2.6 points', '2.4 s')
    """
    words = f"{seconds:.1f} s" if seconds < 100 else f"{seconds:.0f} s"
    return decision.name, decision.headline, gained(decision.values, measure), words


def gained(values: Values | dict, measure: str) -> str:
    """What a stage significantly gained on validation, in a few words; empty without.

    Of several that were kept one after another it is the sum.
    """
    kept = [each.gain for each in getattr(values, "gains", ()) if each.is_kept]
    one = getattr(values, "gain", None)
    if isinstance(one, Comparison) and one.sign > 0:
        kept = [one]
    if not kept:
        return ""
    total = sum(each.gain for each in kept)
    return wording.gained(total, measure).split(" of ")[0]
