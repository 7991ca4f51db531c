"""How a search stands, told from its study while another process writes it, or after."""

from __future__ import annotations

import dataclasses
import os
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from kerastune.budget import Budget
from kerastune.playbook import extending
from kerastune.playbook.decision import Decision
from kerastune.playbook.stages import registry
from kerastune.runtime import locks, signals
from kerastune.runtime.locks import Holder
from kerastune.runtime.number_format import figure
from kerastune.study import extensions
from kerastune.study.extensions import Extension
from kerastune.study.reader import Record
from kerastune.study.run_directory import RunDir
from kerastune.trial import Outcome

LATEST = 5  # trials that are listed
NOTEBOOKS = ("ipykernel_launcher.py", "colab_kernel_launcher.py")  # programs behind them


@dataclasses.dataclass(frozen=True)
class Status:
    """How a search stands.

    Args:
        holder: who is at work on it; `None` when nobody is.
        budget: of the search.
        stages: names of all its stages, in their order.
        decisions: headline and numbers of those so far, by stage.
        outcomes: of every trial so far, by name, in the order in which they began.
        seconds: spent by the last event that was recorded, interruptions left out.
        is_finished: whether the result is there.
        going_on: the command that goes on with it; empty when it is not known.
        added: what an extension that has not ended adds to the budget; empty without one.
    """

    holder: Holder | None
    budget: Budget
    stages: list[str]
    decisions: dict[str, tuple[str, str]]
    outcomes: dict[str, Outcome]
    seconds: float
    is_finished: bool
    going_on: str = ""
    added: str = ""

    @property
    def stage(self) -> str:
        """The stage that is at work or would go on; empty when all have decided."""
        return next((name for name in self.stages if name not in self.decisions), "")

    @property
    def steps(self) -> int:
        """Steps that were trained so far."""
        return sum(outcome.steps for outcome in self.outcomes.values())

    @property
    def left(self) -> str:
        """What is left of the budget, in words.

        Of one in steps also how long that takes at the pace so far.
        """
        if self.budget.steps is not None:
            left = max(self.budget.steps - self.steps, 0)
            pace = (
                f" (at most {left * self.seconds / self.steps:.0f} s at the current speed)"
                if self.steps
                else ""
            )
            return f"{left:,} of {self.budget.steps:,} steps{pace}"
        return f"{max(self.budget.seconds - self.seconds, 0):.0f} of {self.budget.seconds:.0f} s"


@dataclasses.dataclass(frozen=True)
class Standing:
    """What a page says of a search that is not finished; of another all are empty.

    Args:
        progress: how far it is, in a sentence, where it runs.
        stopped: the same, for when it has stopped.
        going_on: the command that goes on with it; empty where it is not known.
        before: that what stands below it is of the time before an extension; empty without one.
    """

    progress: str = ""
    stopped: str = ""
    going_on: str = ""
    before: str = ""


def standing(status: Status) -> Standing:
    """How a search stands, as its page says it."""
    if status.is_finished:
        return Standing()
    decided = f"{len(status.decisions)} of {len(status.stages)} stages decided"
    at_work = f"stage {status.stage} is at work" if status.stage else "the last stage has decided"
    spent = f"{status.seconds:.0f} s so far, {status.left} left"
    what = f"The extension by {status.added}" if status.added else "The search"
    before = "Until it ends, the result before it stays in force: that is what follows."
    written = f"Written at {time.strftime('%X')}."
    where = f"at stage {status.stage}" if status.stage else "after the last stage"
    how = "Continue with:" if status.going_on else "Run the same command again to continue."
    return Standing(
        f"{what} is running: {at_work}, {decided}; {spent}. {written}" if status.holder else "",
        f"{what} stopped {where}, {decided}; {spent}. {how}",
        status.going_on,
        before if status.added else "",
    )


def read(run_dir: RunDir) -> Status:
    """How the search of an output directory stands.

    Raises:
        StudyError: when there is no study, or it is damaged.

    Example:
        >>> print(*lines(read(RunDir("digits-out"))), sep="\\n")  # doctest: +SKIP
    """
    with Record(run_dir.study) as record:
        decisions = [registry.decision(plain) for plain in record.decisions()]
        extended = extensions.read(record)
        is_finished = record.fact("result") is not None
        stages, budget = record.setting("stages"), Budget.parse(record.setting("budget"))
        if extended:
            is_finished = extensions.has_ended(record, extended[-1])
            stages, budget = of_extension(extended[-1], decisions, stages)
        return Status(
            holder=locks.holder(run_dir.lock),
            budget=budget,
            stages=stages,
            decisions={each.name: (each.headline, each.numbers) for each in decisions},
            outcomes=record.outcomes(),
            seconds=record.spent(),
            is_finished=is_finished,
            going_on=going_on(run_dir),
            added=extended[-1].budget if extended and not is_finished else "",
        )


def of_extension(
    extension: Extension, decisions: Sequence[Decision], names: Sequence[str]
) -> tuple[list[str], Budget]:
    """Names of all decisions that there will be, and the budget with all that was spent before."""
    made = [each.name for each in decisions]
    own = [each.stage for each in decisions if each.extension == extension.number]
    left = names[names.index(own[-1]) + 1 :] if own else names
    open_ones = [
        name for name in left if name in extension.again or extending.is_last(registry.find(name))
    ]
    added = Budget.parse(extension.budget)
    if added.steps is not None:
        budget = Budget(steps=extension.steps + added.steps)
    else:
        budget = Budget(seconds=extension.seconds + added.seconds)
    return [*made, *(f"{name} (extension {extension.number})" for name in open_ones)], budget


def lines_of_folds(run_dir: RunDir) -> list[str]:
    """How a cross-validation stands, in words, a line each.

    Raises:
        StudyError: when its study is damaged.
    """
    with Record(run_dir.study) as record:
        outcomes, folds, repeats = (
            record.outcomes(),
            record.setting("folds"),
            record.setting("repeats"),
        )
        each = record.setting("total_steps")
    holder, steps = locks.holder(run_dir.lock), sum(outcome.steps for outcome in outcomes.values())
    if holder:
        first = f"Running ({holder.name or 'another process'})"
    elif run_dir.crossval.is_file() and steps == folds * repeats * each:
        first = "Finished"
    else:
        first = "Stopped: run the same command again to continue"
    found = [
        f"{first}. {steps:,} of {folds * repeats * each:,} steps in {folds * repeats} folds done."
    ]
    return found + [
        f"  {outcome.spec.trial}: {_about(outcome)}"
        for outcome in list(outcomes.values())[-LATEST:]
    ]


def is_of_folds(run_dir: RunDir) -> bool:
    """Whether an output directory is a cross-validation's and not a search's."""
    with Record(run_dir.study) as record:
        return record.setting("command") == "crossval"


def lines(status: Status) -> list[str]:
    """A status in words, a line each.

    The first says whether the search runs, and what to do if it does not.
    """
    found = [_first(status)]
    found += (
        [f"  {status.going_on}"]
        if status.going_on and not status.holder and not status.is_finished
        else []
    )
    found.append(
        f"Used: {status.seconds:.0f} s, {status.steps:,} steps in {len(status.outcomes)} trials. "
        f"Left: {status.left}."
    )
    running = status.holder.running if status.holder else ()
    found += ["", "Running trials:", *(f"  {each}" for each in running)] if running else []
    found += ["", "Decisions:"] if status.decisions else []
    for stage, (headline, numbers) in status.decisions.items():
        found += [f"  {stage}: {headline}.", f"    {numbers}"]
    latest = list(status.outcomes.values())[-LATEST:]
    found += ["", "Latest trials:"] if latest else []
    found += [f"  {outcome.spec.trial}: {_about(outcome)}" for outcome in latest]
    return found


def _first(status: Status) -> str:
    if status.holder:
        at_work = f"at stage {status.stage}" if status.stage else "writing its results"
        who, decided = (
            status.holder.name or "another process",
            f"{len(status.decisions)} of {len(status.stages)}",
        )
        return f"Running ({who}), {at_work}, {decided} stages decided."
    if status.is_finished:
        return "Finished."
    how = "continue with:" if status.going_on else "run the same command again to continue."
    return (
        f"Stopped {f'at stage {status.stage}' if status.stage else 'after the last stage'}: {how}"
    )


def going_on(run_dir: RunDir) -> str:
    """The command that goes on with a search; empty where it was none, as in a notebook."""
    last = Holder.read(run_dir.lock)
    if not last.command or Path(last.command[0]).name in NOTEBOOKS:
        return ""
    command = signals.resuming_command(last.command, run_dir.path)
    return (
        command
        if last.directory == os.getcwd()
        else f"cd {shlex.quote(last.directory)} && {command}"
    )


def _about(outcome: Outcome) -> str:
    if outcome.diverged_at is not None:
        return f"diverged at step {outcome.diverged_at}"
    last = "".join(f", validation {name} {figure(value)}" for name, value in _last_values(outcome))
    return (
        f"{outcome.steps:,} steps, loss {figure(outcome.losses[-50:].mean())}{last}"
        if outcome.steps
        else "failed"
    )


def _last_values(outcome: Outcome) -> list[tuple[str, float]]:
    return [
        (name, value)
        for name, value in (outcome.evals[-1] if outcome.evals else {}).items()
        if name != "step"
    ]
