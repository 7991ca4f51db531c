"""What a change is expected to gain: the measured gain, shrunk toward that on other tasks.

A change is one value of a recipe, such as label smoothing. Its true gain differs from task to task;
over tasks it is taken to be normal, with the mean and standard deviation of the recorded runs (the
prior, `playbook/priors.json`). What one search measures is the true gain plus two errors: that of
the validation examples, which the paired bootstrap tells, and that of the two trainings' seeds.
Both given, the true gain is normal again, with

    precision = 1 / prior.std**2 + 1 / error**2
    mean = (prior.mean / prior.std**2 + measured / error**2) / precision

(Gelman et al. 2013, "Bayesian Data Analysis", 2.5). Of settings that cost the same to serve,
the one with the higher mean is chosen: no other choice has a higher expected score. The interval is
told. Where the mean is smaller than `TIE`, the cheaper setting is.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from importlib import resources
from typing import Any

from kerastune.analysis.comparison import Comparison

TIE = 0.0005  # 0.05 points; of a loss, that fraction of it
SEED_STD = 0.3  # of the score with other seeds, times the root of the training examples
# Times the fitted standard deviations: with it engines that are replayed lose least, each task with
# what was fitted on the others (`runs/replay.py`).
WIDER = 4.0
# What a search begins with, over Keras's defaults: of any network, and of one that names its own
# recipe.
TUNED, TUNED_BUILT_IN = "tuned", "tuned, built-in network"
BUILT_IN = "built-in network"  # with the recipe that it names: changes of that were recorded, too
# Changes whose gain was recorded as they are made: nothing to widen.
MEASURED = ("bag", TUNED, TUNED_BUILT_IN)
LARGE = 1000  # training examples; with fewer other recipes help
SMALL = ", small"  # behind the kind of such data
MANY = 50_000  # training examples of a stream
# Comparisons of stages by what was recorded that is most like them, and whether it is that way
# round.
RECORDED = {
    "dropout": ("dropout .25", 1),
    "label_smoothing": ("smoothing", 1),
    "weight_decay": ("weight decay .002", 1),
    "longer": ("length x3", 1),
    "decay": ("constant", -1),
}


@dataclasses.dataclass(frozen=True)
class Prior:
    """What a change gained on other tasks.

    Args:
        mean: of its gain, as a fraction (0.01 is one point); of a loss, as a fraction of it.
        std: between tasks, `> 0`.
        tasks: how many there were; 0 where nothing is known.
    """

    mean: float = 0.0
    std: float = 0.03
    tasks: int = 0


@dataclasses.dataclass(frozen=True)
class Expected:
    """What a change is expected to gain on this task.

    Args:
        mean: of the gain, in the unit of the scores.
        std: of the gain.
        tie: below which the cheaper setting is taken.
        prior: that it was shrunk toward.
    """

    mean: float
    std: float
    tie: float = TIE
    prior: Prior = Prior()

    @property
    def is_gain(self) -> bool:
        """Whether the change is worth more than a tie."""
        return self.mean > self.tie


def expected(
    compared: Comparison, prior: Prior, scale: float = 1.0, seed_std: float = 0.0
) -> Expected:
    """The expected gain of a measured one.

    Args:
        compared: the measured gain.
        prior: of the change.
        scale: of the scores, `> 0`: 1 for fractions, the size of the loss for losses.
        seed_std: of the score of one training with another seed, in units of `scale`.

    Example:
        >>> measured = Comparison(0.01, 0.0, 0.02)
        >>> round(expected(measured, Prior(std=0.005)).mean, 4)
        0.0049
        >>> expected(measured, Prior(std=1.0)).is_gain
        True
    """
    measured = compared.mirrored or compared
    mean, std = shrunk(
        measured.gain,
        math.sqrt(measured.error**2 + 2 * (seed_std * scale) ** 2),
        prior.mean * scale,
        prior.std * scale,
    )
    return Expected(mean, std, TIE * scale, prior)


def expected_of_mean(
    compared: Comparison, mean_of_many: Prior, scale: float = 1.0, seed_std: float = 0.0
) -> Expected:
    """The expected gain of the mean of several models over one model of the same recipe, where only
    single ones of them could be compared with it.

    These differ from it by their seeds, so what was measured is shrunk toward none. What a mean
    gained over one of its models on recorded tasks comes on top.

    Args:
        compared: the measured gain of single ones.
        mean_of_many: of the mean, over one of its models.
        scale: as in `expected`.
        seed_std: as in `expected`, `> 0`.

    Example:
        >>> measured = Comparison(-0.005, -0.015, 0.005)
        >>> found = expected_of_mean(measured, Prior(0.006, 0.003, 20), seed_std=0.005)
        >>> round(found.mean, 4), found.is_gain
        (0.0036, True)
    """
    mean, std = shrunk(compared.gain, compared.error, 0.0, seed_std * scale)
    both = math.hypot(std, mean_of_many.std * scale)
    return Expected(mean + mean_of_many.mean * scale, both, TIE * scale, mean_of_many)


def shrunk(gain: float, error: float, mean: float, std: float) -> tuple[float, float]:
    """Mean and standard deviation of a true gain, of a measured one and a normal prior.

    Args:
        gain: that was measured.
        error: its standard error, `>= 0`.
        mean: of the prior.
        std: of the prior, `> 0`.

    Example:
        >>> shrunk(0.02, 0.01, 0.0, 0.01)[0]
        0.01
        >>> shrunk(0.02, 0.0, 0.0, 0.01)
        (0.02, 0.0)
    """
    weight = std**2 / (std**2 + error**2)
    return mean + weight * (gain - mean), std * math.sqrt(1 - weight)


def improvement(gain: float, std: float) -> float:
    """The expected improvement of a normal gain over none (Mockus 1978).

    Example:
        >>> round(improvement(0.0, 1.0), 4), improvement(-1.0, 0.0), improvement(2.0, 0.0)
        (0.3989, 0.0, 2.0)
    """
    if std <= 0:
        return max(gain, 0.0)
    at = gain / std
    density = math.exp(-(at**2) / 2) / math.sqrt(2 * math.pi)
    return gain * 0.5 * math.erfc(-at / math.sqrt(2)) + std * density


def prior(change: str, data: str, of: str = "sgd") -> Prior:
    """What a change gained on recorded tasks of a kind of data; a neutral prior where it was not
    recorded.

    Args:
        change: name of one of `changes`, or of a comparison in `RECORDED`.
        data: `"table"`, `"image"`, `"series"`, `"text"`, `"regression"` or `"other"`, with
            `SMALL` behind it where there are fewer than `LARGE` training examples.
        of: recipe that is changed: its optimizer, or `BUILT_IN`. What was not recorded of it is
            taken to gain what it gains with SGD.

    Example:
        >>> prior("magic", "table") == Prior()
        True
    """
    name, sign = RECORDED.get(change, (change, 1))
    kinds = _gains(name, of)
    size = SMALL if data.endswith(SMALL) else ""
    found = kinds.get(data) or kinds.get(f"other{size}")
    if not found:
        return Prior()
    wider = 1.0 if name in MEASURED else WIDER
    return Prior(sign * found["mean"], wider * found["std"], found["tasks"])


def changes(of: str = "sgd") -> dict[str, dict[str, Any]]:
    """What was recorded: values of a recipe by the name of the change.

    Of a change that was recorded with SGD and with another optimizer, only the latter is there. Of
    built-in networks it is what was recorded of them, and what was not tried there.

    Args:
        of: recipe that is changed: its optimizer, or `BUILT_IN`.
    """
    recorded = _recorded()
    all_changes = recorded["changes"]
    if of == "sgd":
        return all_changes
    of_any = {name: each for name, each in all_changes.items() if "optimizer" not in each}
    if of == BUILT_IN:
        own = recorded["changes_of_built_in"]
        tried = {value for each in own.values() for value in each}
        return own | {name: each for name, each in of_any.items() if not tried & set(each)}
    own = {name: each for name, each in all_changes.items() if each.get("optimizer") == of}
    found = {_with_sgd(each) for each in own.values()}
    return own | {name: each for name, each in of_any.items() if _with_sgd(each) not in found}


def _gains(name: str, of: str) -> dict[str, dict[str, float]]:
    """Gains of a change by kind of data, over the recipe `of` where that was recorded."""
    recorded = _recorded()
    of_sgd, others = recorded["gains"].get(name, {}), recorded["gains_of"].get(of, {})
    if name in others or of == BUILT_IN or name not in recorded["changes"]:
        return others.get(name, of_sgd)
    same = _with_sgd(recorded["changes"][name])
    alike = [each for each in others if _with_sgd(recorded["changes"][each]) == same]
    return others[alike[0]] if alike else of_sgd


def _with_sgd(change: dict[str, Any]) -> str:
    """A change without its optimizer, as a key."""
    return json.dumps({**change, "optimizer": "sgd"}, sort_keys=True)


def seed_std(data: str, num_train: int) -> float:
    """Standard deviation of the score of one training with another seed.

    On recorded tasks it falls with the root of the number of training examples.

    Args:
        data: as in `prior`.
        num_train: training examples; 0 for a stream of unknown length.
    """
    return _recorded()["seed_std"].get(data, SEED_STD) / math.sqrt(num_train or MANY)


@functools.cache
def _recorded() -> dict[str, Any]:
    return json.loads(resources.files("kerastune.playbook").joinpath("priors.json").read_text())
