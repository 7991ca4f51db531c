"""What reports are made of: sections of texts, tables, pictures and code."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Text:
    """A paragraph; `is_lead` for the sentence that a reader must see first."""

    words: str
    is_lead: bool = False


@dataclasses.dataclass(frozen=True)
class Items:
    """A list of sentences."""

    sentences: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with a caption; `is_folded` when it need not be seen at once."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    is_folded: bool = False


class Drawing(bytes):
    """A figure: the bytes of a PNG file, for files and TensorBoard, and the same as SVG.

    Args:
        png: the bytes.
        svg: an `<svg>` element for a page.
    """

    svg: str

    def __new__(cls, png: bytes, svg: str = ""):
        made = super().__new__(cls, png)
        made.svg = svg
        return made


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure; `name` names its file, `alt` says what it shows."""

    name: str
    alt: str
    drawing: Drawing


@dataclasses.dataclass(frozen=True)
class Code:
    """Lines to copy."""

    lines: str


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and what stands under it; parts are sections one level deeper."""

    title: str
    blocks: tuple[Text | Items | Table | Picture | Code, ...] = ()
    parts: tuple[Section, ...] = ()


def pictured(pictures: Mapping[str, Drawing], name: str, alt: str) -> list[Picture]:
    """The picture of this name, if there is one."""
    return [Picture(name, alt, pictures[name])] if name in pictures else []


def plain(text: Any) -> str:
    """Text in one line in which nothing hides: signs that can't be printed are written out.

    Line breaks, escape sequences of terminals and marks that turn the direction of writing are
    such.

    Example:
        >>> plain("two\\nlines"), plain("\\x1b[31mred")
        ('two\\\\nlines', '\\\\x1b[31mred')
    """
    shown = (
        c if c.isprintable() or unicodedata.category(c) == "Zs" else repr(c)[1:-1]
        for c in str(text)
    )
    return "".join(shown)


def slug(text: str) -> str:
    """A name for a file or an anchor.

    Example:
        >>> slug("What it is made of")
        'what-it-is-made-of'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
