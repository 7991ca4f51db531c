"""One flag of the command line: described as plain values, and defined with absl from them."""

from __future__ import annotations

import dataclasses
from typing import Any

from absl import flags


@dataclasses.dataclass(frozen=True)
class Flag:
    """One flag of the command line.

    Args:
        name: without dashes.
        help: one short line.
        default: of its value.
        kind: one of `KINDS`.
        unit: of a number; of a text what is written in its place, as `FILE`.
        choices: of kind `choice`.
        least: smallest value of kind `integer`; `None` for any.
        unset: what the default means, where its value does not tell.

    Example:
        >>> Flag("keep", "Weights to keep.", 20, "integer", "models", least=0).default
        20
    """

    name: str
    help: str
    default: Any = ""
    kind: str = "text"
    unit: str = ""
    choices: tuple[str, ...] = ()
    least: int | None = None
    unset: str = ""

    @classmethod
    def of_field(cls, field: dataclasses.Field, **changes: Any) -> Flag:
        """The flag of a described field (`runtime.fields`), but for some changes."""
        about = field.metadata
        kind = "choice" if about["choices"] else KIND_OF_TYPE[field.type]
        made = cls(field.name, about["help"], field.default, kind, about["unit"], about["choices"])
        return dataclasses.replace(made, **changes)

    def define(self, flag_values: flags.FlagValues) -> None:
        """Defines the flag with absl."""
        KINDS[self.kind](self, {"flag_values": flag_values})


class OptionalFloat(flags.FloatParser):
    """Reads a number, or `none`: a value that is none is written down too, since later flags win
    over earlier ones.
    """

    syntactic_help = "a number or none"

    def convert(self, argument: str) -> float | None:
        return None if argument == "none" else super().convert(argument)


def _text(flag: Flag, to: dict[str, flags.FlagValues]) -> None:
    flags.DEFINE_string(flag.name, flag.default, flag.help, **to)


def _switch(flag: Flag, to: dict[str, flags.FlagValues]) -> None:
    flags.DEFINE_bool(flag.name, flag.default, flag.help, **to)


def _choice(flag: Flag, to: dict[str, flags.FlagValues]) -> None:
    flags.DEFINE_enum(flag.name, flag.default, list(flag.choices), flag.help, **to)


def _integer(flag: Flag, to: dict[str, flags.FlagValues]) -> None:
    flags.DEFINE_integer(flag.name, flag.default, flag.help, flag.least, **to)


def _number(flag: Flag, to: dict[str, flags.FlagValues]) -> None:
    flags.DEFINE_float(flag.name, flag.default, flag.help, **to)


def _number_or_none(flag: Flag, to: dict[str, flags.FlagValues]) -> None:
    flags.DEFINE(OptionalFloat(), flag.name, flag.default, flag.help, **to)


def _list(flag: Flag, to: dict[str, flags.FlagValues]) -> None:
    flags.DEFINE_list(flag.name, list(flag.default), flag.help, **to)


def _repeated(flag: Flag, to: dict[str, flags.FlagValues]) -> None:
    flags.DEFINE_multi_string(flag.name, list(flag.default), flag.help, **to)


KINDS = {
    "text": _text,
    "switch": _switch,
    "choice": _choice,
    "integer": _integer,
    "number": _number,
    "number or none": _number_or_none,
    "list": _list,
    "repeated": _repeated,
}
# Of the annotation of a field.
KIND_OF_TYPE = {
    "int": "integer",
    "float": "number",
    "float | None": "number or none",
    "bool": "switch",
    "tuple[str, ...]": "repeated",
    "dict[str, Any]": "repeated",
}
