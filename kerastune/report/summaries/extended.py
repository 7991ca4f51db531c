"""What an extension of a search came to, beside what there was before it."""

from __future__ import annotations

from typing import Any

from kerastune.report import metric_names
from kerastune.report.summaries import verdict
from kerastune.runtime.number_format import figure


def sentence(result: dict[str, Any]) -> str:
    """What the search and each extension of it came to; empty of a search that was not extended.

    Args:
        result: the figures of `result.json`.

    Example:
        >>> told = [("90s", 0.91), ("+600s", 0.94)]
        >>> found = [
        ...     {"budget": budget, "extension": number, "validation": {"accuracy": value}}
        ...     for number, (budget, value) in enumerate(told)
        ... ]
        >>> final = {"validation": {"accuracy": 0.94}}
        >>> sentence({"extensions": found, "extension": 1, "final": final})
        'Extended: 90s accuracy 0.9100 on validation; +600s 0.9400, which is handed out.'
    """
    told = result.get("extensions")
    if not told or "final" not in result:
        return ""
    shared = set.intersection(*({*each.get("validation", {})} for each in told))
    name = verdict.shown_metric(result)
    name = name if name in shared or not shared else sorted(shared)[0]
    called = metric_names.called(name)
    parts = []
    for each in told:
        found = [
            f"{figure(each[part][name])} on {part}"
            for part in ("validation", "test")
            if name in each.get(part, {})
        ]
        values = " and ".join(found) or "no model"
        if not parts:
            values = f"{called} {values}"
        else:
            values = values.removesuffix(" on validation")
        kept = ", which is handed out" * (each["extension"] == result["extension"])
        parts.append(f"{each['budget']} {values}{kept}")
    return f"Extended: {'; '.join(parts)}."
