"""A page as one HTML file that needs nothing else: no network, figures and script inside.

Templates, style sheet and script are files beside this module.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from kerastune.report.blocks import Code, Items, Picture, Section, Table, Text, plain, slug
from kerastune.study.run_directory import NOT_RUNNING, RUNNING

TEMPLATES = Path(__file__).parent / "templates"
NAME = re.compile(r"`([^`<>]+)`")
FLAG = re.compile(r"(--\w+(?:=[\w-]{1,12}\b)?)")
KINDS = {Text: "text", Items: "items", Table: "table", Picture: "picture", Code: "code"}


def render(title: str, sections: Sequence[Section], page: Any = None) -> str:
    """The whole page.

    Args:
        title: of the report.
        sections: in their order.
        page: what stands before them, as `page.Page`; `None` for nothing.

    Example:
        >>> "&lt;b&gt;" in render("<b>", [Section("Data", (Text("<script>"),))])
        True
    """
    style, script = (_read(name) for name in ("style.css", "script.js"))
    return (
        _environment()
        .get_template("report.html")
        .render(
            title=title,
            sections=sections,
            page=page,
            style=Markup(style),
            script=Markup(script),
            policy=policy(script),
            running=Markup(RUNNING if getattr(page, "is_running", False) else NOT_RUNNING),
        )
    )


def policy(script: str) -> str:
    """What a browser may load and run: nothing but this script, whatever names the page shows."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )


@functools.cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else plain(value),
    )
    made.filters |= {
        "slug": slug,
        "kind": lambda block: KINDS[type(block)],
        "svg": lambda drawing: Markup(drawing.svg),
        "words": _words,
        "lines": lambda text: Markup("\n").join(_unbroken(line) for line in text.splitlines()),
    }
    return made


def _unbroken(text: str) -> Markup:
    """Text in which no line ends within a short flag, such as --budget=5m."""
    return Markup(FLAG.sub(r'<span class="flag">\1</span>', str(escape(plain(text)))))


def _words(text: str) -> Markup:
    """The same, with names between backticks as code."""
    return Markup(NAME.sub(r"<code>\1</code>", str(_unbroken(text))))


@functools.cache
def _read(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")
