"""The recipe: every value that the playbook tunes, as one plain, frozen value."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import numbers
from typing import Any

from kerastune.runtime import naming

CHOICES = {
    "optimizer": ("sgd", "adam"),
    "decay": ("none", "linear", "exponential"),
    "initializers": ("auto", "keep"),
    "regularizers": ("off", "on"),
    "class_weights": ("none", "balanced"),
}
TYPES = {  # of each value: in words, what is taken, what it becomes
    **{
        name: ("a number", numbers.Real, float)
        for name in (
            "learning_rate",
            "momentum",
            "decay_factor",
            "weight_decay",
            "label_smoothing",
            "augmentation",
        )
    },
    **{name: ("a number", numbers.Real, float) for name in ("layer_decay", "head_fraction")},
    **{
        name: ("an integer", numbers.Integral, int)
        for name in ("batch_size", "total_steps", "seed")
    },
    **{
        name: ("an integer", numbers.Integral, int)
        for name in ("decay_start", "decay_interval", "frozen", "head")
    },
    "layer_rate": ("a list of texts", (list, tuple), tuple),
    "dropout": ("a number or none", numbers.Real, float),
    **{name: ("true or false", bool, bool) for name in ("nesterov", "flip")},
    "hyperparameters": ("a dict", dict, dict),
}
SHARES = ("momentum", "label_smoothing", "augmentation", "head_fraction")  # in [0, 1)
LEAST = {
    "batch_size": 1,
    "total_steps": 1,
    "decay_start": 0,
    "decay_interval": 1,
    "frozen": 0,
    "head": 1,
    "seed": 0,
}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to train one model. Steps are optimizer updates.

    Args:
        optimizer: `"sgd"` or `"adam"`.
        learning_rate: rate of the first step, `> 0`.
        momentum: of SGD, in `[0, 1)`; Adam ignores it.
        nesterov: whether SGD looks ahead; Adam ignores it.
        batch_size: examples in a step, `>= 1`.
        total_steps: steps of the whole training, `>= 1`.
        decay: `"linear"` (S3.1: to zero at `total_steps`), `"exponential"` (S3.4: a staircase) or
            `"none"`.
        decay_start: first step at which a decaying rate may be lower, `>= 0`.
        decay_factor: of each drop of the staircase, in `(0, 1)`; the other decays ignore it.
        decay_interval: steps between two changes of a decaying rate, `>= 1`.
        initializers: `"auto"` (P8: He before rectifiers where the default was left) or `"keep"`.
        regularizers: `"off"` (P6) or `"on"`, as the model was built.
        weight_decay: share of each kernel that a step takes off, times the rate, `>= 0` (decoupled:
            Loshchilov and Hutter 2019, arXiv:1711.05101); 0 leaves the decay of a compiled model's
            own optimizer.
        dropout: rate, in `[0, 1)`, of every layer of Keras's Dropout family while `regularizers`
            are on; `None` leaves each layer the rate that the model was built with.
        label_smoothing: share of every target that is spread over all classes, in `[0, 1)` (Szegedy
            et al. 2016, arXiv:1512.00567); only in training, only with one of Keras's
            cross-entropies.
        augmentation: strength, in `[0, 1)`: images are shifted by up to that share of their size
            and turned by up to a fifth of it in full turns, sequences are shifted in time by up to
            that share, other floats get normal noise of that standard deviation.
        flip: whether every second image, drawn at random, is flipped from left to right.
        class_weights: `"balanced"` (P7: the rarer a class, the more its examples weigh in the loss)
            or `"none"`; weights that come with the data are kept as they are.
        layer_decay: times the rate of the layer above, for every layer with a kernel, in `(0, 1]`
            (S4.3); 1 is one rate for all.
        layer_rate: texts `"pattern=multiplier"`: what the rate of the layers or variables that a
            glob matches is multiplied by, in place of the decay; of several that match the last one
            counts, 0 is no movement at all.
        frozen: layers with a kernel, from the input on, that are frozen (S4.2), and what follows
            each without one.
        head: layers with a kernel, at the end, that are new to a pretrained model; only
            `head_fraction` looks at it.
        head_fraction: share of the steps, in `[0, 1)`, in which only the head moves, before the
            other layers do.
        seed: of the initial weights and the order of the batches, `>= 0`.
        hyperparameters: values of the hyperparameters that the model's `build(hp)` declares.

    Raises:
        ValueError: when a value is out of its range or of another type.

    Example:
        >>> recipe = Recipe(learning_rate=0.1)
        >>> Recipe.from_json(recipe.to_json()) == recipe
        True
    """

    optimizer: str = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.9
    nesterov: bool = True
    batch_size: int = 64
    total_steps: int = 1000
    decay: str = "linear"
    decay_start: int = 0
    decay_factor: float = 0.5
    decay_interval: int = 100
    initializers: str = "auto"
    regularizers: str = "off"
    weight_decay: float = 0.0
    dropout: float | None = None
    label_smoothing: float = 0.0
    augmentation: float = 0.0
    flip: bool = False
    class_weights: str = "none"
    layer_decay: float = 1.0
    layer_rate: tuple[str, ...] = ()
    frozen: int = 0
    head: int = 1
    head_fraction: float = 0.0
    seed: int = 1
    hyperparameters: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"`{name}` must be one of {', '.join(choices)}, got {getattr(self, name)!r}."
                )
        for name, (words, accepted, plain) in TYPES.items():
            value = getattr(self, name)
            if type(value) is plain or (name == "dropout" and value is None):
                continue
            if not isinstance(value, accepted) or (plain is not bool and isinstance(value, bool)):
                raise ValueError(f"`{name}` must be {words}, got {value!r}.")
            # NumPy's numbers become Python's, so that JSON and flags are exact.
            object.__setattr__(self, name, plain(value))
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(
                f"`learning_rate` must be a finite number > 0, got {self.learning_rate}."
            )
        for name in (*SHARES, *(["dropout"] if self.dropout is not None else [])):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be in [0, 1), got {getattr(self, name)}.")
        if not 0 < self.decay_factor < 1:
            raise ValueError(f"`decay_factor` must be in (0, 1), got {self.decay_factor}.")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"`layer_decay` must be in (0, 1], got {self.layer_decay}.")
        for text in self.layer_rate:
            parse_layer_rate(str(text))
        if not 0 <= self.weight_decay < float("inf"):
            raise ValueError(
                f"`weight_decay` must be a finite number >= 0, got {self.weight_decay}."
            )
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise ValueError(f"`{name}` must be >= {least}, got {getattr(self, name)}.")

    def replace(self, **changes) -> Recipe:
        """A copy with other values."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name, ready for JSON."""
        copied = {
            "layer_rate": list(self.layer_rate),
            "hyperparameters": copy.deepcopy(self.hyperparameters),
        }
        return {**vars(self), **copied}

    def to_json(self) -> str:
        """One line of JSON with sorted keys."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """The recipe of plain values; a name that is not one of a recipe's raises `ValueError`."""
        if not isinstance(values, dict):
            raise ValueError(f"a recipe is an object of names and values, got {values!r}.")
        known = list(cls.__dataclass_fields__)
        for name in values:
            if name not in known:
                hint = naming.did_you_mean(name, known) or f"; a recipe has: {', '.join(known)}."
                raise ValueError(f"`{name}` is not part of a recipe{hint}")
        return cls(**values)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """The recipe of a line that `to_json` wrote."""
        return cls.from_dict(json.loads(text))

    def to_flags(self) -> list[str]:
        """Lines of an absl flagfile that give exactly this recipe; user hyperparameters are
        `--hp=name=json`.
        """
        values = self.to_dict()
        hyperparameters = values.pop("hyperparameters")
        layer_rate = [f"--layer_rate={text}" for text in values.pop("layer_rate")]
        lines = [flag(name, value) for name, value in values.items()]
        lines += layer_rate
        return lines + [
            f"--hp={name}={json.dumps(value)}" for name, value in sorted(hyperparameters.items())
        ]


def flag(name: str, value: Any) -> str:
    """One line of an absl flagfile.

    Example:
        >>> flag("nesterov", False), flag("learning_rate", 0.1), flag("dropout", None)
        ('--nonesterov', '--learning_rate=0.1', '--dropout=none')
    """
    if value is None:
        return f"--{name}=none"
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no{name}"
    return f"--{name}={value!r}" if isinstance(value, float) else f"--{name}={value}"


def parse_layer_rate(text: str) -> tuple[str, float]:
    """Pattern and multiplier of a text like `"conv2d*=0.1"`.

    Raises:
        ValueError: for another form, or a multiplier that is not a finite number of 0 or more.

    Example:
        >>> parse_layer_rate("backbone/*=0.1")
        ('backbone/*', 0.1)
    """
    pattern, _, number = text.rpartition("=")
    try:
        multiplier = float(number)
    except ValueError:
        multiplier = math.nan
    if not pattern or not 0 <= multiplier < math.inf:
        raise ValueError(
            f"`layer_rate` must be pattern=multiplier with a number >= 0, as in dense*=0.1, got {text!r}."
        )
    return pattern, multiplier
