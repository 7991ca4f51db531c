"""Tells a network that no learning rate changes, such as a frozen or dead one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kerastune.analysis import curves, learning_rate_probe
from kerastune.playbook import wording
from kerastune.trial import Outcome

LEAST_RATES = 3  # that change nothing, before a search ends
WHERE_TO_LOOK = (
    "look for frozen layers, units that give 0 for every example, or a loss that does not depend "
    "on the weights"
)


def is_everything(tried: Mapping[float, Outcome], highest: float) -> bool:
    """Whether several learning rates left every loss as it was.

    Steps of the same number see the same batch, whatever the learning rate. Where weights did
    change, a higher learning rate may still change the loss, so the highest is waited for.

    Args:
        tried: outcomes by learning rate.
        highest: learning rate that is ever tried.

    Example:
        >>> is_everything({}, highest=10.0)
        False
    """
    return is_so_far(tried) and (_share_moved(tried) == 0 or max(tried) >= highest)


def is_so_far(tried: Mapping[float, Outcome]) -> bool:
    """Whether the learning rates that were tried, several of them, left every loss as it was.

    Args:
        tried: outcomes by learning rate.
    """
    outcomes = tried.values()
    if len(tried) < LEAST_RATES or any(each.diverged_at is not None for each in outcomes):
        return False
    if not all(each.update_norms.size for each in outcomes):
        return False
    losses = _losses(tried)
    return np.allclose(losses, losses[0], rtol=curves.SAME_VALUE, atol=curves.TINY)


def told(tried: Mapping[float, Outcome]) -> str:
    """What was seen, and where to look, in sentences."""
    losses = _losses(tried)
    loss, share = curves.smoothed(losses[0])[-1], _share_moved(tried)
    moved = f"no step moved the weights by more than {share:.1g} of their size"
    return wording.sentences(
        [
            f"{len(tried)} learning rates from {min(tried):g} to {max(tried):g} gave the same "
            f"losses for {losses.shape[1]} steps ({loss:.3g} at their end), and "
            f"{moved if share else 'no weight changed'}",
            WHERE_TO_LOOK,
        ]
    )


def _share_moved(tried: Mapping[float, Outcome]) -> float:
    """The largest update of the whole model, as a fraction of its weights."""
    return max(
        float(learning_rate_probe.whole_model_ratio(each.update_norms, each.weight_norms).max())
        for each in tried.values()
    )


def _losses(tried: Mapping[float, Outcome]) -> np.ndarray:
    """Losses `[learning rates, steps]`, over the steps that all of them have."""
    common = min(outcome.steps for outcome in tried.values())
    return np.stack([outcome.losses[:common] for outcome in tried.values()])
