"""What metrics are called in a report."""

from __future__ import annotations

from collections.abc import Iterable

from kerastune.report import gain_steps

LOSS = "_loss"  # what Keras calls the loss of one of several outputs, behind the output's name


def called(name: str) -> str:
    """A metric as people call it.

    Example:
        >>> called("val_macro_f1"), called("top_5")
        ('macro-F1', 'top 5')
    """
    name = name.removeprefix("val_")
    return gain_steps.FIGURES.get(name, name.replace("_", " "))


def by_output(names: Iterable[str]) -> dict[str, list[str]]:
    """Which metrics are those of one of several outputs, by output; its loss is the first.

    Example:
        >>> by_output(["loss", "up_auc", "price_loss", "up_loss"])
        {'price': ['price_loss'], 'up': ['up_loss', 'up_auc']}
        >>> by_output(["loss", "style_loss"])
        {}
    """
    names = list(names)
    outputs = [name.removesuffix(LOSS) for name in names if name.endswith(LOSS)]
    found: dict[str, list[str]] = {output: [output + LOSS] for output in outputs}
    for name in names:
        # Of two outputs `up` and `up_down`, a metric is that of the longer name.
        owners = [output for output in outputs if name.startswith(f"{output}_")]
        if owners and not name.endswith(LOSS):
            found[max(owners, key=len)].append(name)
    return found if len(found) > 1 else {}
