"""A figure as SVG within a page: it follows the width of its card and the page's colors."""

from __future__ import annotations

import hashlib
import io
import re

import matplotlib
from matplotlib.figure import Figure

# Colors of the look, as custom properties of the style sheet, which has others for dark pages.
# What stands on a heat map keeps its color: `INK_DARK` and `INK_LIGHT` are not among them.
PROPERTIES = {
    "#000000": "currentColor",
    "#ffffff": "var(--card)",
    "#0072b2": "var(--blue)",
    "#d55e00": "var(--orange)",
    "#009e73": "var(--green)",
    "#cc79a7": "var(--purple)",
    "#e69f00": "var(--amber)",
    "#56b4e9": "var(--sky)",
    "#6b7075": "var(--soft)",
    "#b0b0b0": "var(--grid)",
}
INK_DARK, INK_LIGHT = "#010101", "#fefefe"
HEAD = re.compile(r"^.*?(?=<svg)|<metadata>.*?</metadata>|<!--.*?-->", re.DOTALL)
SIZE = re.compile(r'(<svg[^>]*?) width="[^"]*"|(<svg[^>]*?) height="[^"]*"')
GROUP = re.compile(r'<g id="[^"]*"')
FONT = re.compile(r"font: ([\d.]+)px [^;\"]*")
COLOR = re.compile("|".join(PROPERTIES), re.IGNORECASE)


def svg(figure: Figure) -> str:
    """The figure as an `<svg>` element without a size of its own; texts stay texts."""
    stream = io.StringIO()
    look = {"svg.fonttype": "none", "svg.hashsalt": "kerastune"}
    with matplotlib.rc_context(look):
        figure.savefig(stream, format="svg", metadata={"Date": None}, transparent=True)
    return _adapted(stream.getvalue())


def _adapted(text: str) -> str:
    text = HEAD.sub("", text)
    for _ in range(2):
        text = SIZE.sub(lambda found: found[1] or found[2], text, count=1)
    text = FONT.sub(r"font-size: \1px", GROUP.sub("<g", text))
    text = COLOR.sub(lambda found: PROPERTIES[found.group().lower()], text)
    # Names of clips and markers are those of this figure alone, whatever else is on the page.
    own = hashlib.sha256(text.encode()).hexdigest()[:8]
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\1f{own}-", text)
    return " ".join(text.split("\n")).strip()
