"""The recipe: every value that the playbook tunes, as one plain, frozen value."""

from __future__ import annotations

import copy
import dataclasses
import html
import json
import math
from typing import Any

from kerastune.runtime import fields, naming
from kerastune.runtime.fields import Range, described

ALWAYS_SHOWN = ("optimizer", "learning_rate", "decay", "batch_size", "total_steps")
# Names in recipes, and Keras's classes.
OPTIMIZERS = {
    "sgd": "SGD",
    "adam": "Adam",
    "adamw": "AdamW",
    "nadam": "Nadam",
    "adamax": "Adamax",
    "rmsprop": "RMSprop",
    "adagrad": "Adagrad",
    "adadelta": "Adadelta",
    "adafactor": "Adafactor",
    "lamb": "Lamb",
    "lion": "Lion",
    "muon": "Muon",
    "ftrl": "Ftrl",
}


@fields.documented
@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to train one model. Steps are optimizer updates.

    Args:
        {fields}

    Raises:
        ValueError: when a value is out of its range or of another type.

    Example:
        >>> recipe = Recipe(learning_rate=0.1)
        >>> Recipe.from_json(recipe.to_json()) == recipe
        True
    """

    optimizer: str = described(
        "sgd",
        "Optimizer.",
        f"one of Keras's: {', '.join(OPTIMIZERS)}.",
        choices=tuple(OPTIMIZERS),
    )
    learning_rate: float = described(
        0.01,
        "Learning rate of the first step.",
        "of the first step, `> 0`.",
        allowed=Range(0, is_low_open=True),
    )
    momentum: float = described(
        0.9,
        "Momentum of SGD.",
        "of SGD, in `[0, 1)`; the other optimizers ignore it.",
        allowed=Range(high=1),
    )
    nesterov: bool = described(
        True,
        "Nesterov momentum of SGD.",
        "whether SGD has Nesterov momentum; the other optimizers ignore it.",
    )
    batch_size: int = described(
        64,
        "Batch size.",
        "examples in a step, `>= 1`.",
        unit="examples",
        allowed=Range(1),
    )
    total_steps: int = described(
        1000,
        "Length of the training.",
        "steps of the whole training, `>= 1`.",
        unit="steps",
        allowed=Range(1),
    )
    decay: str = described(
        "linear",
        "Fall of the learning rate: none, linear or cosine to 0 at the last step, or exponential "
        "in drops.",
        '`"linear"` (S3.1: to zero at `total_steps`), `"cosine"` (likewise, along half a cosine), '
        '`"exponential"` (S3.4: a staircase) or `"none"`.',
        choices=("none", "linear", "cosine", "exponential"),
    )
    decay_start: int = described(
        0,
        "Step from which the learning rate falls.",
        "first step at which a decaying learning rate may be lower, `>= 0`.",
        unit="steps",
        allowed=Range(0),
    )
    decay_factor: float = described(
        0.5,
        "Factor of each drop of an exponential decay.",
        "of each drop of the staircase, in `(0, 1)`; the other decays ignore it.",
        allowed=Range(0, 1, is_low_open=True),
    )
    decay_interval: int = described(
        100,
        "Steps between two changes of a decaying learning rate.",
        "steps between two changes of a decaying learning rate, `>= 1`.",
        unit="steps",
        allowed=Range(1),
    )
    warmup_steps: int = described(
        0,
        "Steps in which the learning rate rises first.",
        "steps in which the learning rate rises linearly to its value, `>= 0`; 0 for none.",
        unit="steps",
        allowed=Range(0),
    )
    ema: float = described(
        0.0,
        "Momentum of a moving average of the weights; 0 for none.",
        "momentum of an exponential moving average of the weights, in `[0, 1)`, which is what is "
        "evaluated and kept (Polyak and Juditsky 1992); 0 for none.",
        allowed=Range(high=1),
    )
    beta_2: float | None = described(
        None,
        "Adam's beta_2; none: as the optimizer has it.",
        "decay of the second moments of Adam and the like, in `[0, 1)`, which the others ignore; "
        "`None` leaves what the optimizer has.",
        allowed=Range(high=1),
    )
    initializers: str = described(
        "auto",
        "auto: He before ReLU, where the model has the default; keep: as the model has them.",
        '`"auto"` (P8: He before rectifiers where the default was left) or `"keep"`.',
        choices=("auto", "keep"),
    )
    regularizers: str = described(
        "off",
        "Dropout, weight penalties and the like that the model was built with.",
        '`"off"` (P6) or `"on"`, as the model was built.',
        choices=("off", "on"),
    )
    weight_decay: float = described(
        0.0,
        "Decoupled weight decay of kernels.",
        "fraction of each kernel that a step takes off, times the learning rate, `>= 0` "
        "(decoupled: Loshchilov and Hutter 2019, arXiv:1711.05101); 0 leaves the decay of a "
        "compiled model's own optimizer.",
        allowed=Range(0),
    )
    dropout: float | None = described(
        None,
        "Rate of all Dropout layers; none: as the model has them.",
        "rate, in `[0, 1)`, of every layer of Keras's Dropout family while `regularizers` are on; "
        "`None` leaves each layer the rate that the model was built with.",
        allowed=Range(high=1),
    )
    label_smoothing: float = described(
        0.0,
        "Label smoothing of cross-entropies.",
        "fraction of every target that is distributed over all classes, in `[0, 1)` (Szegedy et "
        "al. "
        "2016, arXiv:1512.00567); only in training, only with one of Keras's cross-entropies.",
        allowed=Range(high=1),
    )
    augmentation: float = described(
        0.0,
        "Strength of random shifts and rotations of images, or of noise.",
        "strength, in `[0, 1)`: images are shifted by up to that fraction of their size and turned "
        "by up to a fifth of it in full turns, sequences are shifted in time by up to that "
        "fraction, other floats get normal noise of that standard deviation.",
        allowed=Range(high=1),
    )
    flip: bool = described(
        False,
        "Flip images from left to right in every second epoch.",
        "whether every image is flipped from left to right in every second epoch (alternating "
        "flip); of a stream every second one, drawn at random.",
    )
    class_weights: str = described(
        "none",
        "Class weights in the loss.",
        '`"balanced"` (P7: the rarer a class, the more its examples weigh in the loss) or '
        '`"none"`; weights that come with the data are kept as they are.',
        choices=("none", "balanced"),
    )
    layer_decay: float = described(
        1.0,
        "Factor of the learning rate from each layer to the one before it.",
        "times the learning rate of the layer above, for every layer with a kernel, in `(0, 1]` "
        "(S4.3); 1 is one learning rate for all.",
        allowed=Range(0, 1, is_low_open=True, is_high_open=False),
    )
    layer_rate: tuple[str, ...] = described(
        (),
        "Multiplier of the learning rate of the layers that match, as dense*=0.1; repeatable.",
        'texts `"pattern=multiplier"`: what the learning rate of the layers or variables that a '
        "glob matches is multiplied by, in place of the decay; of several that match the last one "
        "counts, 0 is no movement at all.",
    )
    frozen: int = described(
        0,
        "Layers with weights that are frozen, from the input on.",
        "layers with a kernel, from the input on, that are frozen (S4.2), and what follows each "
        "without one.",
        unit="layers",
        allowed=Range(0),
    )
    head: int = described(
        1,
        "Layers with weights, at the end, that are new to a pretrained model.",
        "layers with a kernel, at the end, that are new to a pretrained model; only "
        "`head_fraction` looks at it.",
        unit="layers",
        allowed=Range(1),
    )
    head_fraction: float = described(
        0.0,
        "Fraction of the steps in which only the head is trained, first.",
        "fraction of the steps, in `[0, 1)`, in which only the head moves, before the other layers "
        "do.",
        allowed=Range(high=1),
    )
    seed: int = described(
        1,
        "Seed of initial weights, batches and splits.",
        "of the initial weights and the order of the batches, `>= 0`.",
        allowed=Range(0),
    )
    hyperparameters: dict[str, Any] = described(
        dict,
        "Hyperparameter of the model, as units=128 or activation='\"relu\"' (JSON); repeatable.",
        "values of the hyperparameters that the model's `build(hp)` declares.",
    )

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = fields.checked(field, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        for text in self.layer_rate:
            parse_layer_rate(str(text))

    def replace(self, **changes: Any) -> Recipe:
        """A copy with other values."""
        return dataclasses.replace(self, **changes)

    def over(self, total_steps: int) -> Recipe:
        """The recipe with other total steps, decay and moving average of the same shape.

        Example:
            >>> recipe = Recipe(decay="exponential", decay_start=900, decay_interval=200)
            >>> longer = recipe.replace(total_steps=2000).over(4000)
            >>> longer.decay_start, longer.decay_interval
            (1800, 400)
        """
        times, changes = total_steps / self.total_steps, {"total_steps": total_steps}
        if self.decay != "none":
            changes["decay_start"] = round(times * self.decay_start)
        if self.decay == "exponential":
            changes["decay_interval"] = max(round(times * self.decay_interval), 1)
        if self.ema:
            changes["ema"] = self.ema ** (1 / times)
        return self.replace(warmup_steps=round(times * self.warmup_steps), **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name, ready for JSON."""
        copied = {
            "layer_rate": list(self.layer_rate),
            "hyperparameters": copy.deepcopy(self.hyperparameters),
        }
        return {**vars(self), **copied}

    def _repr_html_(self) -> str:
        """A table of what differs from the defaults, for notebooks."""
        usual = Recipe().to_dict()
        named = {
            **dict.fromkeys(ALWAYS_SHOWN, True),
            **{name: True for name, value in self.to_dict().items() if value != usual[name]},
        }
        rows = "".join(
            f"<tr><th style=text-align:left>{name}</th>"
            f"<td style=text-align:left>{html.escape(str(getattr(self, name)))}</td></tr>"
            for name in named
        )
        return f"<table><tbody>{rows}</tbody></table>"

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
        lines = [fields.flag(name, value) for name, value in values.items()]
        lines += layer_rate
        return lines + [
            f"--hp={name}={json.dumps(value)}" for name, value in sorted(hyperparameters.items())
        ]


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
            "`layer_rate` must be pattern=multiplier with a number >= 0, as in dense*=0.1, "
            f"got {text!r}."
        )
    return pattern, multiplier
