"""What a stage decided: a headline, its numbers, and the values behind them."""

from __future__ import annotations

import dataclasses
import html
import re
from typing import Any

from kerastune.recipe import Recipe
from kerastune.runtime.plain_values import from_plain, to_plain

MOST_WORDS = 12  # of a headline


@dataclasses.dataclass(frozen=True)
class Values:
    """What a stage found, as attributes; a stage that finds anything has a subclass of its own."""

    @property
    def trials(self) -> tuple[str, ...]:
        """Trials whose weights are needed later."""
        return ()

    @property
    def ends_search(self) -> bool:
        """Whether no other stage can find anything."""
        return False

    @property
    def highlighted(self) -> str | None:
        """What a figure highlights: a trial, with or without the stage before its name."""
        return next(iter(self.trials), None)


@dataclasses.dataclass(frozen=True)
class ChosenTrial(Values):
    """What a stage found that chooses a training.

    Args:
        trial: whose weights were chosen; `None` where there are none.
        steps_spent: steps that the stage trained.
    """

    trial: str | None = None
    steps_spent: int = 0

    @property
    def trials(self) -> tuple[str, ...]:
        return () if self.trial is None else (self.trial,)


@dataclasses.dataclass(frozen=True)
class Decision:
    """What a stage decided.

    Args:
        stage: name of the stage.
        before: the recipe it received.
        after: the recipe it hands on.
        headline: what was chosen, in at most 12 words, without a full stop.
        numbers: short sentences with the numbers; never empty.
        evidence: names of the trials that it looked at.
        values: the values behind the sentences, of the class that the stage declares; plain values
            by name of a stage that this version does not know.
        extension: number of the extension of the search that it belongs to; 0 for the search
            itself.

    Raises:
        ValueError: when the headline or the numbers are empty, or the headline is longer.

    Example:
        >>> Decision("start", Recipe(), Recipe(), "Batch size 64", "64 is a good start.").reason
        'Batch size 64. 64 is a good start.'
    """

    stage: str
    before: Recipe
    after: Recipe
    headline: str
    numbers: str
    evidence: tuple[str, ...] = ()
    values: Values | dict[str, Any] = Values()
    extension: int = 0

    def __post_init__(self):
        if not (self.headline.strip() and self.numbers.strip()):
            raise ValueError(f"the decision of stage {self.stage} has no headline or no numbers.")
        if len(self.headline.split()) > MOST_WORDS:
            raise ValueError(
                f"a headline has at most {MOST_WORDS} words, got {self.headline!r} of stage "
                f"{self.stage}."
            )

    @property
    def name(self) -> str:
        """The stage, as it is told from the same stage of an extension.

        Example:
            >>> Decision("lr", Recipe(), Recipe(), "Yes", "So.", extension=1).name
            'lr (extension 1)'
        """
        return f"{self.stage} (extension {self.extension})" if self.extension else self.stage

    @property
    def key(self) -> str:
        """As `name`, for names of files and records.

        Example:
            >>> Decision("lr", Recipe(), Recipe(), "Yes", "So.", extension=1).key
            'lr-extension-1'
        """
        return f"{self.stage}-extension-{self.extension}" if self.extension else self.stage

    @property
    def reason(self) -> str:
        """Headline and numbers as one text."""
        return f"{self.headline}. {self.numbers}"

    @property
    def trials(self) -> tuple[str, ...]:
        """Trials whose weights are needed later."""
        return self.values.trials if isinstance(self.values, Values) else ()

    @property
    def ends_search(self) -> bool:
        """Whether the stages after it are left out, since they can't find anything."""
        return isinstance(self.values, Values) and self.values.ends_search

    @property
    def highlighted(self) -> str | None:
        """What a figure highlights, as `Values` has it."""
        return self.values.highlighted if isinstance(self.values, Values) else None

    def _repr_html_(self) -> str:
        """Stage, headline and numbers, for notebooks."""
        # Names stand between backticks.
        headline, numbers = (
            re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(each))
            for each in (self.headline, self.numbers)
        )
        return f"<div>{html.escape(self.stage)}: <b>{headline}</b></div><div>{numbers}</div>"

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name, ready for JSON."""
        return {
            "stage": self.stage,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "headline": self.headline,
            "numbers": self.numbers,
            "evidence": list(self.evidence),
            "values": to_plain(self.values),
            "extension": self.extension,
        }

    @classmethod
    def from_dict(cls, plain: dict[str, Any], kind: type[Values] | None = None) -> Decision:
        """The decision of what `to_dict` gave.

        Args:
            plain: by name.
            kind: of its values; without one they stay plain. `registry.decision` knows it.
        """
        recipes = {name: Recipe.from_dict(plain[name]) for name in ("before", "after")}
        read = {
            "evidence": tuple(plain["evidence"]),
            "values": from_plain(kind, plain["values"]),
        }
        return cls(**{**plain, **recipes, **read})
