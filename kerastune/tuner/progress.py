"""A live line on the screen: what is trained, how far the search is, and the time that is left."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.progress import BarColumn, Progress, TextColumn

from kerastune.budget import Budget
from kerastune.objective import Objective, best_evaluation
from kerastune.playbook.driver import Playbook
from kerastune.runtime import logs
from kerastune.trial import Outcome, TrialSpec


class Display:
    """Shows one search; without a `bar` it shows nothing.

    The time left is that of the budget: a search that has converged ends sooner.

    Args:
        budget: of the search.
        bar: a rich progress bar, or `None`.
    """

    def __init__(self, budget: Budget, bar: Progress | None):
        self._budget, self._bar = budget, bar
        self._row = None if bar is None else bar.add_task("preparing", total=1.0, left="")
        self._steps = 0
        self._began = time.monotonic()
        self._playbook: Playbook | None = None
        # Of a budget in steps, where the search ends, and where this process took it up.
        self._last_step, self._earlier = budget.steps, 0

    def begin(self, playbook: Playbook) -> None:
        """Starts from what the study holds already."""
        self._playbook = playbook
        self._earlier = sum(outcome.steps for outcome in playbook.outcomes.values())

    def segment(self, spec: TrialSpec) -> None:
        """Names what begins now and what is trained beside it; also for `kerastune status`."""
        running = self._playbook.in_flight
        self._playbook.study.announce(
            [f"{_about(each)}, since {time.strftime('%X')}" for each in running]
        )
        if self._bar is not None:
            if len(self._playbook.stages) == 1 and self._last_step:
                # A single training knows its end.
                self._last_step = min(self._last_step, spec.recipe.total_steps)
            if self._last_step:
                # What comes on top of the budget is begun after all of it.
                self._last_step = max(
                    self._last_step, self._earlier + self._steps + spec.until - spec.start
                )
            others = len(running) - 1
            self._bar.update(
                self._row, description=_about(spec) + f", and {others} beside it" * (others > 0)
            )

    def steps(self, count: int) -> None:
        """Counts steps that were done."""
        self._steps += count
        if self._bar is None or self._playbook is None:
            return
        done, left = self._fraction_and_seconds_left()
        self._bar.update(self._row, completed=done, left=f"at most {_words(left)} left")

    def _fraction_and_seconds_left(self) -> tuple[float, float]:
        if self._budget.seconds is not None:
            spent = self._playbook.study.seconds()
            return min(spent / self._budget.seconds, 1.0), max(self._budget.seconds - spent, 0.0)
        done = self._earlier + self._steps
        seconds_per_step = (time.monotonic() - self._began) / max(self._steps, 1)
        return done / self._last_step, max(self._last_step - done, 0) * seconds_per_step


@contextlib.contextmanager
def display(budget: Budget, verbose: int = 1) -> Iterator[Display]:
    """A display for the length of a `with` block; `verbose=0` gives one that shows nothing."""
    if not verbose:
        yield Display(budget, None)
        return
    with _shown() as bar:
        yield Display(budget, bar)


def _shown() -> Progress:
    logs.to_screen()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[left]}"),
    )
    return Progress(*columns, console=logs.console(), transient=True)


class Counted:
    """Shows a known number of steps, and how long the rest takes at the pace so far.

    Args:
        total: all steps.
        done: those that were done earlier.
        bar: a rich progress bar, or `None` to show nothing.
        clock: gives seconds.
    """

    def __init__(
        self,
        total: int,
        done: int,
        bar: Progress | None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._total, self._earlier, self._now, self._bar, self._clock = total, done, 0, bar, clock
        self._row = (
            None if bar is None else bar.add_task("preparing", total=total, completed=done, left="")
        )
        self._began = clock()

    def begin(self, words: str) -> None:
        """Names what is done now."""
        if self._bar is not None:
            self._bar.update(self._row, description=words)

    def steps(self, count: int) -> None:
        """Counts steps that were done."""
        self._now += count
        if self._bar is not None:
            done = self._earlier + self._now
            left = max(self._total - done, 0) * (self._clock() - self._began) / max(self._now, 1)
            self._bar.update(self._row, completed=done, left=f"about {_words(left)} left")


@contextlib.contextmanager
def counting(total: int, done: int, verbose: int = 1) -> Iterator[Counted]:
    """A `Counted` for the length of a `with` block; `verbose=0` gives one that shows nothing."""
    if not verbose:
        yield Counted(total, done, None)
        return
    with _shown() as bar:
        yield Counted(total, done, bar)


def line(outcome: Outcome, objective: Objective) -> str:
    """A trial so far, for the log."""
    recipe = outcome.spec.recipe
    settings = f"learning rate {recipe.learning_rate:g}, batch size {recipe.batch_size}"
    words = f"{outcome.spec.trial}: {recipe.optimizer}, {settings}"
    if outcome.error:
        return f"{words}: failed ({outcome.error})"
    if outcome.diverged_at is not None:
        return f"{words}: diverged at step {outcome.diverged_at}"
    told = f"{words}: {outcome.steps} steps, loss {outcome.losses[-50:].mean():.4g}"
    told = ", ".join([told, *outcome.notes])
    if (best := best_evaluation(outcome.evals, objective)) is None:
        return told
    value = f"{best[objective.name]:.4g} at step {best['step']}"
    return f"{told}, best validation {objective.name} {value}"


def _words(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


def _about(spec: TrialSpec) -> str:
    return f"{spec.stage}: {spec.trial}, steps {spec.start} to {spec.until}"
