"""A figure as SVG within a page: it follows the width of its card and the page's colors."""

from __future__ import annotations

import hashlib
import io
import re

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

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
MARGIN = 0.04  # inches, above and below a panel
HEAD = re.compile(r"^.*?(?=<svg)|<metadata>.*?</metadata>|<!--.*?-->", re.DOTALL)
SIZE = re.compile(r'(<svg[^>]*?) width="[^"]*"|(<svg[^>]*?) height="[^"]*"')
GROUP = re.compile(r'<g id="[^"]*"')
FONT = re.compile(r"font: ([\d.]+)px [^;\"]*")
COLOR = re.compile("|".join(PROPERTIES), re.IGNORECASE)


def svg(figure: Figure) -> str:
    """The figure as `<svg>` elements without a size of their own; texts stay texts.

    Axes that stand one above the other are an element each, as wide as the figure, so that a page
    may put them side by side.
    """
    rows = _rows(figure)
    if len(rows) < 2:
        return _drawn(figure)
    bands = [_band(figure, row) for row in rows]
    panels = []
    for row, band in zip(rows, bands, strict=True):
        for axes in figure.axes:
            axes.set_visible(axes in row)
        panels.append(_drawn(figure, band))
    return "".join(panels)


def _rows(figure: Figure) -> list[list[Axes]]:
    """The axes of each row of a figure of one column, those beside them (color bars) included."""
    above = [each for each in figure.axes if each.get_subplotspec() is not None]
    if len(above) < 2 or any(each.get_subplotspec().get_gridspec().ncols > 1 for each in above):
        return []
    rows = [[each] for each in above]
    for beside in (each for each in figure.axes if each not in above):
        height = beside.get_position().y0
        gaps = [abs(row[0].get_position().y0 - height) for row in rows]
        rows[gaps.index(min(gaps))].append(beside)
    return rows


def _band(figure: Figure, row: list[Axes]) -> Bbox:
    """What axes take of their figure, from its left to its right, in inches."""
    taken = Bbox.union([each.get_tightbbox() for each in row])
    low, high = taken.y0 / figure.dpi, taken.y1 / figure.dpi
    return Bbox([[0, low - MARGIN], [figure.get_figwidth(), high + MARGIN]])


def _drawn(figure: Figure, band: Bbox | None = None) -> str:
    stream = io.StringIO()
    look = {"svg.fonttype": "none", "svg.hashsalt": "kerastune"}
    with matplotlib.rc_context(look):
        style = {"metadata": {"Date": None}, "transparent": True, "bbox_inches": band}
        figure.savefig(stream, format="svg", **style)
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
    # Texts that name no color are black, on dark pages too, unless the whole names one.
    text = text.replace("<svg", '<svg fill="currentColor"', 1)
    return " ".join(text.split("\n")).strip()
