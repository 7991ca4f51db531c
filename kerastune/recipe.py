"""The recipe: every value that the playbook tunes, as one plain, frozen value."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import numbers
from typing import Any

from kerastune.runtime import naming


@dataclasses.dataclass(frozen=True)
class Interval:
    """Numbers between two ends, either of which may belong to it.

    Example:
        >>> Interval(0, 1, has_low=True), 1 in Interval(0, 1, has_low=True)
        ([0, 1), False)
    """

    low: float
    high: float = math.inf
    has_low: bool = False
    has_high: bool = False

    def __contains__(self, number: float) -> bool:
        above = number >= self.low if self.has_low else number > self.low
        return above and (number <= self.high if self.has_high else number < self.high)

    def __repr__(self) -> str:
        if self.high == math.inf:
            return f"{'>=' if self.has_low else '>'} {self.low}"
        return (
            f"{'[' if self.has_low else '('}{self.low}, {self.high}{']' if self.has_high else ')'}"
        )


FRACTION = Interval(0, 1, has_low=True)
POSITIVE, NOT_NEGATIVE = Interval(0), Interval(0, has_low=True)
AT_LEAST_ONE = Interval(1, has_low=True)


@dataclasses.dataclass(frozen=True)
class Setting:
    """What there is to know of one value of a recipe: its flag, its check and its help.

    Args:
        help: one line for people.
        kind: type of the value.
        choices: texts that it may be; any where there are none.
        interval: numbers that it may be.
        unit: of a number, for people.
        optional: whether it may be `None`.
    """

    help: str
    kind: type
    choices: tuple[str, ...] = ()
    interval: Interval | None = None
    unit: str = ""
    optional: bool = False

    def checked(self, name: str, value: Any) -> Any:
        """The value as a plain Python value, so that JSON and flags are exact.

        Raises:
            ValueError: in one line, for another type or range.
        """
        if self.optional and value is None:
            return None
        if self.choices:
            if value not in self.choices:
                raise ValueError(
                    f"`{name}` must be one of {', '.join(self.choices)}, got {value!r}."
                )
            return value
        words, accepted = TYPES[self.kind]
        is_bool = isinstance(value, bool)
        if not isinstance(value, accepted) or (is_bool and self.kind is not bool):
            words += " or none" if self.optional else ""
            raise ValueError(f"`{name}` must be {words}, got {value!r}.")
        value = self.kind(value)
        if self.interval is not None and value not in self.interval:
            is_open = self.kind is float and self.interval.high == math.inf
            must = f"a finite number {self.interval}" if is_open else f"{self.interval}"
            must = f"in {must}" if must[0] in "[(" else must
            raise ValueError(f"`{name}` must be {must}, got {value}.")
        return value


TYPES = {  # of each kind: in words, and what is taken for it
    bool: ("true or false", bool),
    dict: ("a dict", dict),
    float: ("a number", numbers.Real),
    int: ("an integer", numbers.Integral),
    tuple: ("a list of texts", (list, tuple)),
}


def _field(default: Any, help: str, kind: type | None = None, **more: Any) -> Any:
    setting = Setting(help, kind or type(default), **more)
    if setting.kind is dict:
        return dataclasses.field(default_factory=dict, metadata={"setting": setting})
    return dataclasses.field(default=default, metadata={"setting": setting})


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

    optimizer: str = _field("sgd", "Optimizer.", choices=("sgd", "adam"))
    learning_rate: float = _field(
        0.01, "Learning rate of the first step; `tune` finds it.", interval=POSITIVE
    )
    momentum: float = _field(0.9, "Momentum of SGD.", interval=FRACTION)
    nesterov: bool = _field(True, "Nesterov momentum of SGD.")
    batch_size: int = _field(64, "Batch size.", interval=AT_LEAST_ONE, unit="examples")
    total_steps: int = _field(
        1000, "Length of the training; `tune` finds it.", interval=AT_LEAST_ONE, unit="steps"
    )
    decay: str = _field("linear", "Learning rate decay.", choices=("none", "linear", "exponential"))
    decay_start: int = _field(0, "When decay starts.", interval=NOT_NEGATIVE, unit="steps")
    decay_factor: float = _field(
        0.5, "Factor of each drop of an exponential decay.", interval=Interval(0, 1)
    )
    decay_interval: int = _field(
        100, "Time between two changes of a decaying rate.", interval=AT_LEAST_ONE, unit="steps"
    )
    initializers: str = _field(
        "auto", "`auto`: He before ReLU where the default was left.", choices=("auto", "keep")
    )
    regularizers: str = _field(
        "off", "The model's own regularization, dropout and noise.", choices=("off", "on")
    )
    weight_decay: float = _field(
        0.0, "Decoupled weight decay of kernels; `tune` finds it.", interval=NOT_NEGATIVE
    )
    dropout: float | None = _field(
        None,
        "Rate of all Dropout layers; `none`: as the model has it.",
        float,
        interval=FRACTION,
        optional=True,
    )
    label_smoothing: float = _field(0.0, "Label smoothing; `tune` finds it.", interval=FRACTION)
    augmentation: float = _field(
        0.0, "Strength of shifts, rotations or noise; `tune` finds it.", interval=FRACTION
    )
    flip: bool = _field(False, "Random horizontal flip of images; `tune` finds it.")
    class_weights: str = _field(
        "none", "Class weights in the loss; `tune` finds them.", choices=("none", "balanced")
    )
    layer_decay: float = _field(
        1.0,
        "Factor of the learning rate from a layer to the one below it.",
        interval=Interval(0, 1, has_high=True),
    )
    layer_rate: tuple[str, ...] = _field(
        (), "pattern=multiplier of the learning rate of layers; may be repeated."
    )
    frozen: int = _field(
        0, "Layers with kernels, from the input on, that are frozen.", interval=NOT_NEGATIVE
    )
    head: int = _field(1, "Layers with kernels, at the end, that are new.", interval=AT_LEAST_ONE)
    head_fraction: float = _field(
        0.0, "First part of the training, for the head alone.", interval=FRACTION
    )
    seed: int = _field(1, "Seed of weights, batches and splits.", interval=NOT_NEGATIVE)
    hyperparameters: dict[str, Any] = _field(
        {}, "name=json, a hyperparameter of the model's `build(hp)`; may be repeated."
    )

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = field.metadata["setting"].checked(field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        for text in self.layer_rate:
            parse_layer_rate(str(text))

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
        >>> parsed("backbone/*=0.1")
        ('backbone/*', 0.1)
    """
    pattern, _, number = text.rpartition("=")
    try:
        multiplier = float(number)
    except ValueError:
        multiplier = math.nan
    if not pattern or not 0 <= multiplier < math.inf:
        raise ValueError(
            "`layer_rate` must be pattern=multiplier with a number >= 0, as in dense*=0.1, got "
            f"{text!r}."
        )
    return pattern, multiplier
