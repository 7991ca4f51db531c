"""The look of all figures: sizes, colors that everybody can tell apart, legends."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation

from kerastune.report.blocks import Drawing, plain
from kerastune.report.figures import vector
from kerastune.study.run_directory import PICTURE

ABOUT = {"Software": PICTURE}
HEIGHT = 3.1  # inches, of one of several axes
WIDTH = 4.2  # inches: with texts of 10 points they are readable on a phone
DOTS = 200  # per inch: twice that, for fine screens
LABELS_HEIGHT = 0.45  # inches that ticks and label of an x axis take
LINE_HEIGHT = 0.17  # inches, of a further line of a label
LABEL_WIDTH = 42  # characters, beyond which the label of an x axis goes on in the next line
MOST_POINTS = 2000  # of one line
MANY = 10  # values, of which a few may be cut off
MOST_LABELLED = 16  # lines that a legend names
# Okabe and Ito, "Color Universal Design" (2008), without yellow and black.
BLUE, ORANGE, GREEN, PURPLE, AMBER, SKY, GREY = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6B7075"),
)
COLORS = (BLUE, ORANGE, GREEN, PURPLE, AMBER, SKY)
LEGEND = {"handlelength": 1.6, "columnspacing": 1.2, "labelspacing": 0.3}
DASHES = ("-", "--", ":", "-.")


def panels(*heights: float) -> tuple[Figure, np.ndarray]:
    """A figure with axes of these heights in inches, one above the other.

    TensorBoard and phones show narrow cards.
    """
    figure = blank(sum(heights))
    axes = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    for each in axes:
        each.set_prop_cycle(
            color=COLORS * len(DASHES), linestyle=np.repeat(DASHES, len(COLORS)).tolist()
        )
        each.spines[["top", "right"]].set_visible(False)
        each.grid(alpha=0.3)
        each.set_axisbelow(True)
    return figure, axes


def blank(height: float, layout: str | None = "constrained") -> Figure:
    """A figure without axes, `height` inches high; `None` leaves their places to the caller."""
    return Figure(figsize=(WIDTH, height), dpi=DOTS, layout=layout)


def shades(count: int) -> list[tuple[float, ...]]:
    """Colors of things that have an order, from dark to light."""
    return [matplotlib.colormaps["viridis"](place) for place in np.linspace(0.25, 0.85, count)]


def line(
    axes: Axes, values: np.ndarray, label: str, bold: bool = False, each: int = 1, **style
) -> None:
    """A curve over its steps, or over `each` examples per step.

    Long ones are thinned, their ends stay.
    """
    steps = np.unique(np.linspace(0, len(values) - 1, min(len(values), MOST_POINTS)).astype(int))
    style = {"linewidth": 2.6 if bold else 1.1, "zorder": 3 if bold else 2, **style}
    axes.plot(each * steps, values[steps], label=words(label), **style)


def legend(axes: Axes) -> None:
    """Names the lines of an axes once each, below it, where nothing is hidden."""
    lines = _wrap_label(axes)
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    if unique:
        columns = max(1, min(4, 46 // (5 + max(map(len, unique)))))
        height = LABELS_HEIGHT + LINE_HEIGHT * (lines - 1)
        below = axes.transAxes + ScaledTranslation(0, -height, axes.figure.dpi_scale_trans)
        place = {
            "loc": "upper center",
            "bbox_to_anchor": (0.5, 0),
            "bbox_transform": below,
            "ncols": columns,
        }
        axes.legend(unique.values(), unique.keys(), frameon=False, **LEGEND, **place)
    axes.grid(alpha=0.3)


def _wrap_label(axes: Axes) -> int:
    """Breaks a long label of the x axis into lines; gives their number."""
    label = textwrap.fill(axes.get_xlabel(), LABEL_WIDTH)
    axes.set_xlabel(label)
    return 1 + label.count("\n")


def limit(
    axes: Axes,
    values: Sequence[float],
    lowest_share: float = 0.0,
    highest_share: float = 1.0,
    seen: Sequence[float] = (),
) -> None:
    """Sets the range of y to what most values need, and to those that are to be `seen`.

    So a few far off do not flatten the others.
    """
    sound = np.array([value for value in values if np.isfinite(value)])
    if len(sound) >= MANY:
        ends = np.quantile(sound, [lowest_share, highest_share])
        ends = [*ends, *(value for value in seen if np.isfinite(value))]
        low, high = min(ends), max(ends)
        if high > low:
            axes.set_ylim(low - 0.08 * (high - low), high + 0.08 * (high - low))


def count_along(axes: Axes, unit: str) -> None:
    """Makes the x axis one of steps, examples and the like: whole numbers, few and easy to read."""
    axes.set_xlabel(unit)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:,.0f}"))


def _plain_powers(axis: Axis, low: float, high: float) -> None:
    """Labels of a logarithmic axis as numbers, not as powers.

    With less than two decades also 2 and 5 of each.
    """
    axis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    axis.set_minor_locator(LogLocator(subs=(2, 5)))
    is_short = high < 100 * low
    axis.set_minor_formatter(
        FuncFormatter(lambda value, place: f"{value:g}") if is_short else NullFormatter()
    )


def words(text: str, most: int = 32) -> str:
    """A user's text as a label: short, in one line, and no formula."""
    text = plain(text)
    shown = text if len(text) <= most else f"{text[: most - 1]}…"
    # A line whose label begins with an underscore is not in the legend.
    return ("\u200a" * shown.startswith("_") + shown).replace("$", r"\$")


def png(figure: Figure) -> Drawing:
    """The bytes of a PNG file, and the same as SVG."""
    for axes in figure.axes:
        _wrap_label(axes)
        axes.set_title(textwrap.fill(axes.get_title(), LABEL_WIDTH))
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            if axis.get_scale() == "log":
                _plain_powers(axis, *limits)
    stream = io.BytesIO()
    # Names in scripts that the font lacks are boxes here; the tables beside the picture have them.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # the places are found
        for axes in figure.axes:
            _keep_inside(axes)
        figure.savefig(stream, format="png", metadata=ABOUT, pil_kwargs={"compress_level": 4})
        return Drawing(stream.getvalue(), vector.svg(figure))


def _keep_inside(axes: Axes) -> None:
    """Moves a title that is wider than its axes, so that it stays on the figure."""
    taken, (across, up) = axes.title.get_window_extent(), axes.title.get_position()
    beyond = max(taken.x1 - axes.figure.bbox.x1, 0.0) + min(taken.x0, 0.0)
    axes.title.set_position((across - beyond / axes.bbox.width, up))
