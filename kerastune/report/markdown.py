"""A report as Markdown, with its pictures as files beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kerastune.report.blocks import Code, Items, Picture, Section, Table, Text, plain

# As entities where renderers differ in what a backslash takes the meaning from.
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "~": "&#126;", "$": "&#36;"}
MARKS = re.compile(r"(?<!&)#|[\\`*\[\]]|(?<!\w)_|_(?!\w)")
LIST_MARKS = re.compile(r"^(\d*)([-+.)])(?=[-\s]|$)")


def render(title: str, sections: Sequence[Section], folder: str) -> str:
    """The whole text.

    Args:
        title: of the report.
        sections: in their order.
        folder: where the pictures stand, relative to the text.

    Example:
        >>> print(render("a_b", [Section("Data", (Text("1 < 2"),))], "report"))
        # a_b
        <BLANKLINE>
        ## Data
        <BLANKLINE>
        1 &lt; 2
        <BLANKLINE>
    """
    lines = [
        f"# {escaped(title)}",
        *(line for section in sections for line in _section(section, 2, folder)),
    ]
    return "\n\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text that is nothing but text in Markdown, also within a table.

    Example:
        >>> escaped("*one* | <two> the_third")
        '\\\\*one\\\\* &#124; &lt;two&gt; the_third'
    """
    found = "".join(ENTITIES.get(sign, sign) for sign in plain(text))
    # An address would become a link by itself.
    return LIST_MARKS.sub(r"\1\\\2", MARKS.sub(r"\\\g<0>", found)).replace("://", "&#58;//")


def _section(section: Section, level: int, folder: str) -> list[str]:
    blocks = [_block(block, folder) for block in section.blocks]
    parts = [line for part in section.parts for line in _section(part, level + 1, folder)]
    return [f"{'#' * level} {escaped(section.title)}", *blocks, *parts]


def _block(block: Text | Items | Table | Picture | Code, folder: str) -> str:
    if isinstance(block, Text):
        return f"**{escaped(block.words)}**" if block.is_lead else escaped(block.words)
    if isinstance(block, Items):
        return "\n".join(f"- {escaped(sentence)}" for sentence in block.sentences)
    if isinstance(block, Picture):
        return f"![{escaped(block.alt)}]({folder}/{block.name}.png)"
    if isinstance(block, Code):
        lines = [plain(line) for line in block.lines.splitlines()]
        # A fence longer than any within.
        fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", block.lines))])
        return "\n".join([fence, *lines, fence])
    return "\n".join(
        [
            f"{escaped(block.caption)}:\n",
            _row(block.header),
            _row(["---"] * len(block.header), raw=True),
            *(_row(row) for row in block.rows),
        ]
    )


def _row(cells: Sequence[str], raw: bool = False) -> str:
    return f"| {' | '.join(cell if raw else escaped(cell) for cell in cells)} |"
