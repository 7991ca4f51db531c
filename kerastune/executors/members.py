"""The workers of a pool as it knows them, and which of them trains what next."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

from kerastune.trial import TrialSpec


@dataclasses.dataclass
class Attempt:
    """One attempt at a segment.

    Args:
        number: no two of a search have the same.
        spec: the segment.
        exclusive: whether nothing may begin beside it.
        alone: whether nothing did.
        has_stepped: whether a chunk of it is done.
    """

    number: int
    spec: TrialSpec
    exclusive: bool
    alone: bool
    has_stepped: bool = False


@dataclasses.dataclass
class Member:
    """A worker of a pool.

    Args:
        ready: whether it has started.
        doing: what it trains.
        silent: seconds since it said something.
        compiled: kinds of trials that it need not compile anew.
    """

    ready: bool = False
    doing: Attempt | None = None
    silent: float = 0.0
    compiled: set[tuple] = dataclasses.field(default_factory=set)

    def begin(self, attempt: Attempt) -> None:
        """Takes up an attempt."""
        self.doing, self.silent = attempt, 0.0
        self.compiled.add(_kind(attempt.spec))


class Members(dict[int, Member]):
    """The workers of a pool by number, in the order in which they were started.

    Example:
        >>> Members({1: Member(ready=True), 2: Member()}).idle()
        [1]
    """

    def idle(self) -> list[int]:
        """Those that are ready and train nothing."""
        return [number for number, each in self.items() if each.ready and not each.doing]

    def attempts(self) -> list[Attempt]:
        """What is trained now."""
        return [each.doing for each in self.values() if each.doing]

    def is_exclusive(self) -> bool:
        """Whether something is trained that nothing may begin beside."""
        return any(attempt.exclusive for attempt in self.attempts())

    def num_ready(self) -> int:
        """Number of workers that have started."""
        return sum(each.ready for each in self.values())

    def next_pair(
        self,
        ready: Sequence[TrialSpec],
        exclusive: Sequence[TrialSpec],
        homes: Mapping[str, int],
    ) -> tuple[int, TrialSpec] | None:
        """An idle worker and what it trains next, or `None` when nothing may begin.

        That is the first segment whose kind an idle worker has compiled, else the first of all.

        Args:
            ready: segments that may be trained, the most urgent first.
            exclusive: those of them that nothing may be trained beside.
            homes: by trial, the worker that keeps something of it.
        """
        idle = self.idle()
        if not idle or self.is_exclusive():
            return None
        if exclusive and not self.attempts():
            # A worker that starts would take its share of the cores.
            ready = exclusive[:1] if self.num_ready() == len(self) else []
        elif exclusive:
            ready = [spec for spec in ready if spec not in exclusive]
        compiled = {kind: number for number in reversed(idle) for kind in self[number].compiled}

        def home(spec: TrialSpec, otherwise: int | None) -> int | None:
            number = homes.get(spec.trial)
            return number if number in self else otherwise

        pairs = itertools.chain(
            ((home(spec, compiled.get(_kind(spec))), spec) for spec in ready),
            ((home(spec, idle[0]), spec) for spec in ready),
        )
        return next(((number, spec) for number, spec in pairs if number in idle), None)


def _kind(spec: TrialSpec) -> tuple:
    """What is compiled once for all trials that share it."""
    recipe = spec.recipe
    return repr(recipe.hyperparameters), recipe.optimizer, recipe.nesterov, recipe.frozen
