"""What a notebook shows of a search: the result at a glance, and its figures."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kerastune.playbook.decision import Decision
from kerastune.recipe import Recipe
from kerastune.report.blocks import Drawing, plain
from kerastune.report.summaries import stage_rows, verdict

# The properties that figures are drawn with, for a page that has no style sheet of ours, and is
# light or dark.
COLORS = (
    "--card:#fff;--soft:#7c838a;--grid:#80808080;--blue:#1c86cc;--orange:#d55e00;--green:#009e73;"
    "--purple:#cc79a7;--amber:#e69f00;--sky:#56b4e9"
)
WIDTH = "28em"  # of a figure


@dataclasses.dataclass(frozen=True)
class Figures:
    """Figures that a notebook shows one beside another.

    Args:
        drawings: by name.

    Example:
        >>> Figures({"lr": Drawing(b"", "<svg></svg>")})
        <Figures: lr>
    """

    drawings: Mapping[str, Drawing]

    def __repr__(self) -> str:
        return f"<Figures: {', '.join(self.drawings)}>"

    def _repr_html_(self) -> str:
        cells = "".join(
            f'<figure style="width:{WIDTH};margin:.5em"><figcaption style="font-weight:bold">'
            f"{_text(name)}</figcaption>{each.svg}</figure>"
            for name, each in self.drawings.items()
        )
        style = f"display:flex;flex-wrap:wrap;{COLORS}"
        return f'<div style="{style}" class="kerastune">{cells}</div>'


def of_search(
    result: dict[str, Any],
    recipe: Recipe,
    decisions: Sequence[Decision],
    measure: str,
    report: Path,
) -> str:
    """A search as HTML: verdict, figures, recipe, a row a stage, and where the report is.

    Args:
        result: the figures of `result.json`; empty before the end.
        recipe: the latest.
        decisions: so far.
        measure: what models are compared by, as `Facts.scored_by`.
        report: file of the report.
    """
    rows = "".join(_row(decision, result, measure) for decision in decisions)
    found = verdict.of(result).words if decisions else "Nothing was searched yet."
    figures = verdict.figures(result, None)
    where = f"<div>Report: <code>{_text(report)}</code></div>" if report.is_file() else ""
    return (
        f"<div><b>{_text(found)}</b></div><div>{_text(figures)}</div>"
        f"<div>{_text(verdict.recipe_in_words(recipe))}</div>"
        f"<table><tbody>{rows}</tbody></table>{where}"
    )


def _row(decision: Decision, result: dict[str, Any], measure: str) -> str:
    seconds = result.get("stages", {}).get(decision.stage, {}).get("seconds", 0.0)
    cells = stage_rows.row(decision, seconds, measure)
    return f"<tr>{''.join(f'<td style=text-align:left>{_text(each)}</td>' for each in cells)}</tr>"


def _text(words: Any) -> str:
    return html.escape(plain(words))
