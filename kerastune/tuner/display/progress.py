"""What a search shows while it runs: a row a stage, and below it what is trained, the best so far,
and how long it will take.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence

from kerastune.budget import Budget
from kerastune.objective import Objective, best_evaluation
from kerastune.playbook.decision import Decision
from kerastune.playbook.driver import Playbook
from kerastune.report.summaries import stage_rows
from kerastune.runtime import screen
from kerastune.runtime.number_format import figure
from kerastune.runtime.screen import Screen
from kerastune.trial import Outcome, TrialSpec
from kerastune.tuner.display import time_left

logger = logging.getLogger("kerastune")


class Display:
    """Shows one search.

    Args:
        budget: of the search.
        shown: where.
    """

    def __init__(self, budget: Budget, shown: Screen):
        self._budget, self.screen = budget, shown
        self._steps, self._at_step = 0, 0
        self._began = time.monotonic()
        self._playbook: Playbook | None = None
        self._spec: TrialSpec | None = None
        self._best, self._best_value = "", 0.0
        # Of a budget in steps, where the search ends, and where this process took it up.
        self._last_step, self._earlier = budget.steps, 0
        self._seconds: dict[str, float] = {}  # of the stages that this process saw decide
        self._decided_at = 0.0
        shown.bar(0.0, "", "preparing data and model")

    def begin(self, playbook: Playbook, opening: Sequence[tuple[str, str]] = ()) -> None:
        """Starts from what the study holds already, with some lines and their styles before it."""
        self._playbook = playbook
        self._earlier = sum(outcome.steps for outcome in playbook.outcomes.values())
        at_work = {stage.name for stage in playbook.stages[playbook.decided :]}
        decided = (each.stage for each in playbook.decisions if each.stage not in at_work)
        self._seconds = dict.fromkeys(decided, 0.0)
        self._decided_at = playbook.study.seconds()
        for text, style in opening:
            self.screen.line(text, style)
        for outcome in playbook.outcomes.values():
            self._look_at(outcome)

    def segment(self, spec: TrialSpec) -> None:
        """Names what begins now and what is trained beside it; also for `kerastune status`."""
        running = self._playbook.in_flight
        self._playbook.study.announce(
            [f"{_about(each)}, since {time.strftime('%X')}" for each in running]
        )
        if len(self._playbook.stages) == 1 and self._last_step:
            # A single training knows its end.
            self._last_step = min(self._last_step, spec.recipe.total_steps)
        if self._last_step:
            # What comes on top of the budget is begun after all of it.
            self._last_step = max(
                self._last_step, self._earlier + self._steps + spec.until - spec.start
            )
        self._spec, self._at_step = spec, spec.start
        self._show()

    def steps(self, count: int) -> None:
        """Counts steps that were done."""
        self._steps += count
        self._at_step += count
        self._show()

    def recorded(self, outcome: Outcome) -> None:
        """Takes note of what came of a trial so far."""
        self._look_at(outcome)

    def decided(self, decision: Decision) -> None:
        """Adds the row of a stage."""
        now = self._playbook.study.seconds()
        self._seconds[decision.stage] = now - self._decided_at
        self._decided_at = now
        seconds, measure = self._seconds[decision.stage], self._playbook.scored_by
        _, *cells = stage_rows.row(decision, seconds, measure)
        self.screen.row((decision.stage, *cells))

    def finishing(self) -> None:
        """Says that what is left is to save and to draw."""
        self.screen.bar(1.0, "", "saving model and report")

    def ended(self, lines: Sequence[str]) -> None:
        """Adds what was found, of which the first line stands out."""
        first, *others = lines
        self.screen.line("")
        self.screen.line(first, "bold")
        for line in others:
            self.screen.line(line)

    def _look_at(self, outcome: Outcome) -> None:
        objective = self._playbook.objective
        best = best_evaluation(outcome.evals, objective)
        if best is None or outcome.spec.repeat:
            return
        value = objective.gain(best[objective.name])
        if not self._best or value > self._best_value:
            self._best_value = value
            self._best = f"best {objective.name} {figure(best[objective.name])}"

    def _show(self) -> None:
        if self._playbook is None or self._spec is None:
            return
        done, bound = self._fraction_and_seconds_left()
        others = len(self._playbook.in_flight) - 1
        beside = f", {others} beside it" * (others > 0)
        words = f"{self._spec.trial}{beside}: step {self._at_step:,} of {self._spec.until:,}"
        words += f" · {self._best}" * bool(self._best)
        self.screen.bar(done, self._left(bound), words)

    def _left(self, bound: float) -> str:
        playbook = self._playbook
        pace = (time.monotonic() - self._began) / max(self._steps, 1)
        expected = time_left.estimate(
            playbook.stages,
            self._seconds,
            playbook.study.seconds() - self._decided_at,
            playbook.recipe.total_steps * pace,
            bound,
        )
        return f"about {_words(expected)} left, at most {_words(bound)}"

    def _fraction_and_seconds_left(self) -> tuple[float, float]:
        if self._budget.seconds is not None:
            spent = self._playbook.study.seconds()
            return min(spent / self._budget.seconds, 1.0), max(self._budget.seconds - spent, 0.0)
        done = self._earlier + self._steps
        seconds_per_step = (time.monotonic() - self._began) / max(self._steps, 1)
        return done / self._last_step, max(self._last_step - done, 0) * seconds_per_step


@contextlib.contextmanager
def display(budget: Budget, verbose: int = 1) -> Iterator[Display]:
    """A display for the length of a `with` block; `verbose` as `screen.opened` has it."""
    with screen.opened(verbose) as shown:
        yield Display(budget, shown)


class Counted:
    """Shows a known number of steps, and how long the rest takes at the pace so far.

    Args:
        total: all steps.
        done: those that were done earlier.
        shown: where.
        clock: gives seconds.
    """

    def __init__(
        self,
        total: int,
        done: int,
        shown: Screen,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._total, self._earlier, self._now, self._clock = total, done, 0, clock
        self._screen, self._words = shown, "preparing"
        self._began = clock()
        shown.bar(done / total, "", self._words)

    def line(self, text: str) -> None:
        """Adds a line that stays, to the log too."""
        logger.info("%s", text)
        self._screen.line(text)

    def begin(self, words: str) -> None:
        """Names what is done now."""
        self._words = words
        self.steps(0)

    def steps(self, count: int) -> None:
        """Counts steps that were done."""
        self._now += count
        done = self._earlier + self._now
        left = max(self._total - done, 0) * (self._clock() - self._began) / max(self._now, 1)
        told = f"about {_words(left)} left" if self._now else ""
        self._screen.bar(done / self._total, told, self._words)


@contextlib.contextmanager
def counting(total: int, done: int, verbose: int = 1) -> Iterator[Counted]:
    """A `Counted` for the length of a `with` block; `verbose` as `screen.opened` has it."""
    with screen.opened(verbose) as shown:
        yield Counted(total, done, shown)


def line(outcome: Outcome, objective: Objective) -> str:
    """A trial so far, for the log."""
    recipe = outcome.spec.recipe
    settings = f"learning rate {recipe.learning_rate:g}, batch size {recipe.batch_size}"
    words = f"{outcome.spec.trial}: {recipe.optimizer}, {settings}"
    if outcome.error:
        return f"{words}: failed ({outcome.error})"
    if outcome.diverged_at is not None:
        return f"{words}: diverged at step {outcome.diverged_at}"
    told = f"{words}: {outcome.steps} steps, loss {figure(outcome.losses[-50:].mean())}"
    told = ", ".join([told, *outcome.notes])
    if (best := best_evaluation(outcome.evals, objective)) is None:
        return told
    value = f"{figure(best[objective.name])} at step {best['step']}"
    return f"{told}, best validation {objective.name} {value}"


def _words(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


def _about(spec: TrialSpec) -> str:
    return f"{spec.stage}: {spec.trial}, steps {spec.start} to {spec.until}"
