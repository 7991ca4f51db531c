"""Random searches under random faults; one seed again: python tests/helpers/fuzz_harness.py SEED.

A seed gives a plan (`fuzz_plans`) and a schedule: sittings one after another, each inline or with a
pool of workers to which things happen, and each with a fault (`fault_harness`). After every sitting
all that was acknowledged must be in the study, and after the last one it must have come to the very
end of the same plan that nothing hit. Faults come at a count of events, so that a seed does the
same again; only kills and signals after seconds depend on the machine.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import errno
import fcntl
import functools
import itertools
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from fake_trainer import ACCURACY, FakeClock, canonical, memory
from fake_workers import FakeWorkers
from fault_harness import (
    ERRORS,
    OPERATIONS,
    REFUSED,
    STOPPED,
    WHERE,
    Attempt,
    CrashingStudy,
    FailingDisk,
    LimitedStudy,
    attempt,
    crashing,
    events,
)
from fuzz_plans import Plan, plan_at_random

from kerastune.budget import Budget
from kerastune.executors import dispatch, worker_pool, workers
from kerastune.executors.base import Inline
from kerastune.playbook import retention, waves
from kerastune.playbook.context import Context, Facts
from kerastune.playbook.stages import registry
from kerastune.report import status
from kerastune.runtime import locks, logs
from kerastune.study import run_directory
from kerastune.study.database import Study
from kerastune.study.run_directory import RunDir
from kerastune.trial import Outcome, State, TrialSpec

CRASHED = 9
MOST_SITTINGS = 6
MOST_SECONDS = 60  # of one sitting: longer is hanging
STATEFUL = {
    f"{name}.py"
    for name in (
        *("driver", "allowances", "database", "reader", "locks", "run_directory", "waves"),
        *("worker_pool", "dispatch"),
    )
}
EVENTS = 450  # of Python in `STATEFUL` between two transactions, about
KINDS = (
    *(
        "nothing",
        "crash",
        "crash",
        "killed_at",
        "killed_at",
        "killed_after",
        "stopped_at",
        "stopped_after",
    ),
    *(
        "disk",
        "disk",
        "pages",
        "size",
        "transient",
        "damage",
        "damage",
        "litter",
        "rival",
        "held",
        "other_setting",
    ),
)
DAMAGES = ("flip", "flip", "cut", "journal", "journal", "foreign", "newer", "other")
# What a sitting may say when it ends by itself, by what hit it.
SAID = {
    "damage": (
        "damaged",
        "is not a study of kerastune",
        "is of study version",
        "`budget` was",
        "can't be written",
    ),
    "transient": ("a hiccup", "ran out of memory alone"),
    "rival": ("is in use by",),
    "held": ("is in use by process",),
    "other_setting": ("`budget` was",),
    "workers": ("The study is kept", "did not start"),
}
IN_THE_LOG = {
    "worker lost": "; it is run again.",
    "out of memory": "it is run again alone",
    "inline after all": "Trials run inline",
    "passed over": "failed and is skipped",
}


@dataclasses.dataclass(frozen=True)
class Sitting:
    """One start of the command.

    Args:
        kind: of fault, one of `KINDS`.
        at: when it hits: a count, or seconds.
        how: more about it.
        ends: transaction after which the process is killed, whatever else there is; 0 for none.
        jobs: of a worker pool; 0 measures how many fit, -1 is inline.
        seed: of what happens to workers.
        losses: chance that an attempt of a worker is lost, hangs or comes too late.
        starved: chance that an attempt with others beside it runs out of memory.
        starts: what a worker that is started says instead of being ready, in one of four cases.
        sticky: whether trials go on where they were.
        jumps: whether clocks jump.
    """

    kind: str
    at: float = 0
    how: Any = None
    ends: int = 0
    jobs: int = -1
    seed: int = 0
    losses: float = 0.0
    starved: float = 0.0
    starts: str = ""
    sticky: bool = False
    jumps: bool = False


def sittings_at_random(seed: int, transactions: int, pages: int, seconds: float) -> list[Sitting]:
    """The schedule of a seed; the last sitting is one without a fault.

    Args:
        seed: of the search.
        transactions: of the search that nothing hits.
        pages: of its study.
        seconds: that it took.
    """
    luck = random.Random(f"faults {seed}")
    found = []
    for _ in range(luck.randint(1, MOST_SITTINGS)):
        kind, early = (
            luck.choice(KINDS),
            luck.random() ** 2,
        )  # most of the first sittings are over soon
        at, how = 1 + int(early * transactions), None
        if kind == "crash":
            how = (luck.choice(WHERE), luck.random() < 0.5)
        elif kind in ("killed_at", "stopped_at"):
            at = 1 + int(early * transactions * EVENTS)
        elif kind in ("killed_after", "stopped_after"):
            at = round(1.5 * early * seconds, 4)
        elif kind == "disk":
            how = (luck.choice(OPERATIONS), luck.choice(ERRORS), luck.random() < 0.3)
        elif kind in ("pages", "size"):
            at = 1 + int(luck.random() * pages)
        elif kind == "damage":
            how = luck.choice(DAMAGES)
        elif kind == "transient":
            how = luck.choice(["error", "memory"])
        # What would come to the end would leave nothing for the next ones to hit.
        ends = (
            0
            if kind == "crash" or luck.random() < 0.2
            else 1 + int(luck.random() ** 2 * transactions)
        )
        found.append(Sitting(kind, at, how, ends, **_executor(luck), jumps=luck.random() < 0.3))
    return [*found, Sitting("nothing", **_executor(luck))]


def _executor(luck: random.Random) -> dict[str, Any]:
    if luck.random() < 0.5:
        return {}
    return {
        "jobs": luck.choice([0, 1, 2, 4, 16]),
        "seed": luck.randrange(10**6),
        "losses": luck.choice([0.0, 0.1, 0.3]),
        "starved": luck.choice([0.0, 0.2]),
        "starts": luck.choice(["", "", workers.LOST, workers.UNAVAILABLE]),
        "sticky": luck.random() < 0.5,
    }


# one sitting


class FuzzWorkers(FakeWorkers):
    """Workers to which happens what a sitting says."""

    def __init__(self, sitting: Sitting, trainer, clock: FakeClock):
        super().__init__(clock, sitting.seed, self._happens, trainer, peak_memory=700)
        self._sitting, self._losses, self._starved = sitting, collections.Counter(), set()
        self._hiccup = _hiccups(sitting)
        self._answers: dict[int, workers.Message] = {}

    def start(self):
        if not self._sitting.starts or self.random.random() > 0.25:
            return super().start()
        self.started += 1
        self._later(
            1.0, workers.Message(self.started, self._sitting.starts, 0, "can't be unpickled")
        )
        return self.started

    def send(self, worker, assignment):
        last = self._answers.get(worker)
        super().send(worker, assignment)
        if last is not None and self.random.random() < self._sitting.losses:
            super()._later(0.0, last)  # it says again what it said of the attempt before

    def _later(self, seconds, message):
        super()._later(seconds, message)
        if message.kind == workers.DONE:
            self._answers[message.worker] = message

    def _happens(self, assignment, luck):
        if (
            error := self.trainer.failure(assignment.spec) or self._hiccup(assignment.spec)
        ) is not None:
            return error
        key = (assignment.spec.trial, assignment.spec.start)
        # Twice lost is trained once more; a third time, once in a while, ends the search.
        if luck.random() < self._sitting.losses and self._losses[key] < 2 + (luck.random() < 0.1):
            self._losses[key] += 1
            return luck.choice(["lost", "hangs", "late"])
        if (
            self.beside[assignment.attempt]
            and key not in self._starved
            and luck.random() < self._sitting.starved
        ):
            self._starved.add(key)
            return MemoryError()
        return ""


class FuzzStudy(LimitedStudy, CrashingStudy):
    """Hit as either; by nothing unless it is told."""


def search(
    directory: Path,
    plan: Plan,
    sitting: Sitting,
    acknowledged: Callable[[str], None] = lambda event: None,
) -> str:
    """A search from wherever it stands to its end; gives all that it found as one text."""
    clock = FakeClock()
    trainer, training = plan.trainer(clock), _hiccuping(plan.trainer(clock), sitting)
    executor = Inline(training)
    if sitting.jobs >= 0:
        hit = FuzzWorkers(sitting, trainer, clock)
        executor = worker_pool.WorkerPool(
            hit, sitting.jobs, lambda peak: 3, sitting.sticky, clock=clock
        )
    run_dir = RunDir(directory / "out")
    run_dir.open()
    if sitting.jumps:
        clock = _jumping(clock, (0, 30), sitting.seed)
    with (
        FuzzStudy(run_dir.study, run_dir.lock, clock=clock) as study,
        logs.to_file(run_dir.log),
        executor,
    ):
        study.settings(
            plan.settings() | ({"budget": "999999steps"} if sitting.kind == "other_setting" else {})
        )
        training.deadline = lambda: driver.seconds_left() < 0
        driver = plan.playbook(
            study, on_decision=lambda decision: acknowledged(f"decision {decision.stage}")
        )

        def begun(spec):
            study.announce([each.trial for each in driver.in_flight])

        for result in dispatch.results(executor, training, driver, begun):
            dispatch.record(result, driver)
            acknowledged(f"segment {result.spec.trial} {result.spec.start}")
        study.announce([])
        if driver.in_flight or driver.stage is not None:
            raise AssertionError(
                f"{driver.in_flight} are left running, {driver.stage} has not decided"
            )
        if study.fact("result") is None:
            study.put_fact("result", {"recipe": driver.recipe.to_dict()})
        run_directory.write_text(run_dir.result, json.dumps(study.fact("result"), sort_keys=True))
        run_directory.write_text(run_dir.decisions, json.dumps(study.decisions(), sort_keys=True))
        return canonical(study) + run_dir.result.read_text() + run_dir.decisions.read_text()


def _in_one_line(directory: Path, **arguments) -> str:
    """A search that ends with an error which the command says in one line, or lets Python say."""
    try:
        return search(directory, **arguments)
    except (RuntimeError, MemoryError) as error:
        if not any(words in str(error) for words in (*SAID["workers"], *SAID["transient"])):
            raise
        raise ValueError(str(error)) from error


def _hiccups(sitting: Sitting) -> Callable[[TrialSpec], Exception | None]:
    """Gives what the `at`-th attempt at a segment raises; none that a stage passes over."""
    count = itertools.count(1)

    def error(spec):
        if (
            sitting.kind != "transient"
            or next(count) != sitting.at
            or spec.stage in ("model", "batch")
        ):
            return None
        return MemoryError() if sitting.how == "memory" else ValueError("a hiccup")

    return error


def _hiccuping(trainer, sitting: Sitting):
    run, hiccup = trainer.run, _hiccups(sitting)

    def tried(spec, state=None):
        if (error := hiccup(spec)) is not None:
            raise error
        return run(spec, state)

    trainer.run = tried
    return trainer


def _jumping(
    steady: Callable[[], float], by: tuple[float, float], seed: int
) -> Callable[[], float]:
    luck, jumped = random.Random(seed), 0.0

    def clock():
        nonlocal jumped
        jumped += luck.uniform(*by) if luck.random() < 0.1 else 0.0
        return steady() + jumped

    return clock


def _at_event(at: int, act: Callable[[], None]) -> None:
    """Acts at the `at`-th call or return in the modules that hold what a search knows."""
    count = 0

    def look(frame, event, argument):
        nonlocal count
        if os.path.basename(frame.f_code.co_filename) not in STATEFUL:
            return
        count += 1
        if count == at:
            sys.setprofile(None)
            act()

    sys.setprofile(look)


def _prepare(plan: Plan, sitting: Sitting, directory: Path) -> None:
    """What is done in the fork before a sitting."""
    kind, at, how = sitting.kind, int(sitting.at), sitting.how
    signal.alarm(MOST_SECONDS)
    _set_up(plan, sitting)
    FuzzStudy.count = 0
    crashing(sitting.ends, "after")()
    if kind == "crash":
        crashing(at, *how)()
    elif (kind, how) == ("damage", "journal"):
        crashing(at, "inside", spills=True)()
    elif kind in ("killed_at", "stopped_at"):
        number = signal.SIGKILL if kind == "killed_at" else signal.SIGINT
        _at_event(at, lambda: os.kill(os.getpid(), number))
    elif kind == "disk":
        operation, number, for_ever = how
        FailingDisk(directory / "out", operation, at, number, for_ever).install()
    elif kind == "pages":
        FuzzStudy.pages = at
    elif kind == "size":
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096 * at, resource.RLIM_INFINITY))


def _set_up(plan: Plan, sitting: Sitting) -> None:
    if not plan.has_locks:

        def refuse(stream, kind):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        fcntl.flock = refuse
    if sitting.jumps:
        time.time = _jumping(time.time, (-86_400, 86_400), sitting.seed)


# a whole schedule


class Broken(AssertionError):
    """Something that must never be."""


@dataclasses.dataclass
class Search:
    """A plan on disk, sitting after sitting.

    Args:
        directory: of the search.
        plan: of it.
        whole: what it finds when nothing hits it.
        events: that were acknowledged, by how often.
        hits: faults that were felt, by how often.
        attempts: so far.
    """

    directory: Path
    plan: Plan
    whole: str
    events: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    hits: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    attempts: int = 0

    def sit(self, sitting: Sitting) -> bool:
        """One sitting and its checks; gives whether the search came to its end."""
        if sitting.kind == "damage":
            return self._sit_damaged(sitting)
        if sitting.kind == "other_setting" and not self.events:
            return False  # it would begin with it
        if sitting.kind == "litter":
            _litter(RunDir(self.directory / "out"), random.Random(sitting.at))
        ended, *rivals = self._attempts(sitting)
        for each in (ended, *rivals):
            self._check_words(sitting, each)
            self.events.update(each.events)
        self._check_events()
        self._check_end(ended)
        return ended.status == 0

    def _attempts(self, sitting: Sitting) -> list[Attempt]:
        (self.directory / "found").unlink(missing_ok=True)
        rivals: list[Attempt] = []

        def begin(**others):
            self.attempts += 1
            hit = functools.partial(_prepare, self.plan, sitting, self.directory)
            return attempt(
                self.directory,
                hit,
                searching=_in_one_line,
                plan=self.plan,
                sitting=sitting,
                **others,
            )

        if sitting.kind in ("killed_after", "stopped_after"):
            number = signal.SIGKILL if sitting.kind == "killed_after" else signal.SIGINT
            return [begin(kill_after=sitting.at, number=number)]
        if sitting.kind == "rival":
            ended = begin(meanwhile=lambda: rivals.append(begin()))
            return [ended, *rivals]
        if sitting.kind == "held" and self.plan.has_locks:
            run_dir = RunDir(self.directory / "out")
            run_dir.open()
            with contextlib.closing(locks.Lock(run_dir.lock)):
                return [begin()]
        return [begin()]

    def _check_words(self, sitting: Sitting, ended: Attempt) -> None:
        allowed = {
            **dict.fromkeys(("killed_at", "killed_after"), -signal.SIGKILL),
            **dict.fromkeys(("stopped_at", "stopped_after"), STOPPED),
        }
        was_ended = ended.status == CRASHED and sitting.kind != "crash"
        self.hits["ended" if was_ended else sitting.kind] += ended.status != 0
        if ended.status in (0, CRASHED, allowed.get(sitting.kind)):
            return
        if ended.status != REFUSED or "\n" in ended.words.strip():
            raise Broken(f"ended with {ended.status}: {ended.words[-3000:]}")
        said = SAID.get(sitting.kind, ()) + (SAID["workers"] if sitting.jobs >= 0 else ())
        # What the disk refuses is said in the system's words.
        if sitting.kind not in ("disk", "pages", "size") and not any(
            words in ended.words for words in said
        ):
            raise Broken(f"was refused with {ended.words!r}")

    def _check_events(self) -> None:
        if twice := [event for event, count in self.events.items() if count > 1]:
            raise Broken(f"acknowledged twice: {twice}")
        there = events(self.directory)
        if gone := set(self.events) - there:
            raise Broken(f"lost {sorted(gone)}")
        if len(untold := there - set(self.events)) > self.attempts:
            raise Broken(
                f"more than one event of each attempt was recorded untold: {sorted(untold)}"
            )

    def _check_end(self, ended: Attempt) -> None:
        if ended.status or self.plan.is_timed:
            return
        found = (self.directory / "found").read_text()
        if found != self.whole:
            raise Broken(f"ended differently: {difference(found, self.whole)}")

    def _sit_damaged(self, sitting: Sitting) -> bool:
        """A sitting with a damaged study, which is refused or means what it meant."""
        study, luck = RunDir(self.directory / "out").study, random.Random(sitting.at)
        if sitting.how == "journal":
            # A crash in the middle of a transaction that is half in the file already.
            (ended,) = self._attempts(sitting)
            self._check_words(sitting, ended)
            self.events.update(ended.events)
            self._check_events_of_copy()
        if not study.exists() or not study.stat().st_size:
            return False
        kept = self.directory / "kept"
        shutil.copytree(self.directory / "out", kept, dirs_exist_ok=True)
        if sitting.how == "journal":
            study.with_name("study.sqlite-journal").unlink(missing_ok=True)
        else:
            damage(study, sitting.how, luck)
        is_another = sitting.how in ("foreign", "newer", "other")
        (ended,) = self._attempts(
            dataclasses.replace(sitting, how=None, ends=0 if is_another else sitting.ends)
        )
        self._check_words(sitting, ended)
        if ended.status == REFUSED:
            shutil.rmtree(self.directory / "out")
            kept.rename(self.directory / "out")
        elif is_another:
            raise Broken(f"a study that is {sitting.how} was taken")
        else:
            shutil.rmtree(kept)
            self.events.update(ended.events)
            self._check_end(ended)
        self._check_events()
        return ended.status == 0

    def _check_events_of_copy(self) -> None:
        """As `_check_events`, of a copy: looking at a study takes back what was half written."""
        copy = self.directory / "copy"
        shutil.copytree(self.directory / "out", copy / "out")
        looked = dataclasses.replace(self, directory=copy)
        looked._check_events()
        shutil.rmtree(copy)


def damage(study: Path, how: str, luck: random.Random) -> None:
    """Makes something else of a study's file."""
    data = bytearray(study.read_bytes())
    if how == "flip":
        for _ in range(luck.randint(1, 3)):
            data[luck.randrange(len(data))] ^= luck.randint(1, 255)
        study.write_bytes(data)
    elif how == "cut":
        study.write_bytes(data[: luck.randrange(1, len(data))])
    elif how == "foreign":
        study.write_bytes(
            luck.choice([b"precious", b"\0" * 4096, b"SQLite format 3\0" + b"\0" * 4096])
        )
    elif how == "newer":
        with contextlib.closing(sqlite3.connect(study)) as database:
            database.execute("PRAGMA user_version = 99")
    elif how == "other":
        study.unlink()
        with Study(study, study.with_name("other-lock")) as other:
            other.settings({"budget": "77steps"})


def _litter(run_dir: RunDir, luck: random.Random) -> None:
    """Files beside a study that a killed or careless process left, or took."""
    if not run_dir.study.exists():
        return
    for path in (run_dir.lock, run_dir.log, run_dir.result, run_dir.decisions):
        what = luck.choice(["", "gone", "empty", "garbage"])
        if what == "gone":
            path.unlink(missing_ok=True)
        elif what:
            path.write_bytes(b"" if what == "empty" else luck.randbytes(99))
        if luck.random() < 0.3:
            path.with_name(f".{path.name}.new").write_bytes(b"half")


def difference(found: str, whole: str) -> str:
    """Where two texts part, for a person to read."""
    at = next(
        (i for i, (a, b) in enumerate(zip(found, whole, strict=False)) if a != b),
        min(len(found), len(whole)),
    )
    return (
        f"…{found[max(at - 200, 0) : at + 200]}… in place of …{whole[max(at - 200, 0) : at + 200]}…"
    )


def check_ended(directory: Path, plan: Plan) -> None:
    """What must hold of any search that came to its end."""
    run_dir = RunDir(directory / "out")
    told = status.read(run_dir)
    if told.holder or not told.is_finished or told.stage or locks.Holder.read(run_dir.lock).running:
        raise Broken(f"it says that it is not at its end: {status.lines(told)}")
    if not plan.is_timed and told.steps > Budget.parse(plan.budget).steps:
        raise Broken(f"{told.steps} steps are more than the budget of {plan.budget}")
    with Study(run_dir.study, run_dir.lock) as study:
        outcomes = waves.in_order(study.outcomes(), waves.recorded(study))
        for wave in waves.recorded(study):
            if left := waves.missing(wave, outcomes):
                raise Broken(f"not trained: {left}")
        if going_on := [trial for trial in outcomes if study.checkpoint(trial, "last") is not None]:
            raise Broken(f"states are left of {going_on}")
        rows = study._database.execute(
            "SELECT trial, start, header FROM segments ORDER BY trial, start"
        ).fetchall()
        for trial, segments in itertools.groupby(rows, lambda row: row[0]):
            check_segments(
                trial, [(start, json.loads(header)["steps"]) for _, start, header in segments]
            )
            check_kept(outcomes[trial], study.checkpoint(trial, "best"))
        if list(plan.stages) != [decision["stage"] for decision in study.decisions()]:
            raise Broken(f"decided were {[decision['stage'] for decision in study.decisions()]}")
        if not plan.is_timed:  # what a stage may spend depends on the moment
            check_decisions(plan, study)


def check_segments(trial: str, segments: list[tuple[int, int]]) -> None:
    """Each segment, of a first step and so many steps, begins where the one before ended."""
    ends = itertools.accumulate((steps for _, steps in segments), initial=0)
    if any(start != end for (start, _), end in zip(segments, ends, strict=False)):
        raise Broken(f"{trial} has segments {segments}, which leave a gap or overlap")


def check_kept(outcome: Outcome, kept: State | None) -> None:
    """The weights of a constant learning rate are those of its best evaluation."""
    if kept is None or outcome.diverged_at is not None or outcome.spec.recipe.decay != "none":
        return
    best = outcome.kept_evaluation(ACCURACY)
    right = int(outcome.example_scores.sum())
    if kept.step != best["step"] or abs(right - best["accuracy"] * len(outcome.example_scores)) > 1:
        raise Broken(
            f"{outcome.spec.trial} keeps the weights of step {kept.step}, "
            f"its best evaluation is {best}"
        )


def check_decisions(plan: Plan, study: Study) -> None:
    """From the records alone every stage decides again what it decided."""
    driver, seen, forgotten = plan.playbook(study), [], set()
    for stage, made in zip(driver.stages, driver.decisions, strict=True):
        seen.append(stage.name)
        known = {
            name: dataclasses.replace(outcome, weights_kept=name not in forgotten)
            for name, outcome in driver.outcomes.items()
            if outcome.spec.stage in seen
        }
        facts: Facts = driver.facts(stage)
        # Those that look at weights may find them gone since.
        if not stage.follows_training:
            again = stage.decide(Context(made.before, facts, known))
            if registry.decision(json.loads(json.dumps(again.to_dict()))) != made:
                raise Broken(f"{stage.name} decides {again.reason!r} in place of {made.reason!r}")
            if stage.propose(Context(made.before, facts, known)):
                raise Broken(f"{stage.name} proposes more though it has decided")
        forgotten |= set(retention.surplus(known, driver.decisions[: len(seen)], plan.keep))


def undisturbed(directory: Path, plan: Plan) -> tuple[str, int, int, float]:
    """What a plan finds when nothing hits it: result, transactions, pages and seconds."""
    directory.mkdir()
    FuzzStudy.count, began = 0, time.monotonic()
    found = search(directory, plan, Sitting("nothing"))
    study = RunDir(directory / "out").study
    return found, FuzzStudy.count, study.stat().st_size // 4096, time.monotonic() - began


def survives(seed: int) -> collections.Counter:
    """Runs the plan and the schedule of a seed; gives what was felt of its faults.

    Raises:
        AssertionError: with all that is known, when something is wrong.
    """
    plan, tried = plan_at_random(seed), []
    with memory() as directory:
        try:
            whole, *measured = undisturbed(directory / "whole", plan)
            check_ended(directory / "whole", plan)
            (directory / "hit").mkdir()
            hit = Search(directory / "hit", plan, whole)
            for sitting in sittings_at_random(seed, *measured):
                tried.append(sitting)
                is_over = hit.sit(sitting)
            # Workers may have been lost three times in the last one.
            if not is_over and not hit.sit(Sitting("nothing")):
                raise Broken("it never came to its end")
            check_ended(hit.directory, plan)
            log = RunDir(hit.directory / "out").log.read_text(errors="replace")
            hit.hits.update({name: log.count(words) for name, words in IN_THE_LOG.items()})
        except Exception as error:
            words = [
                f"seed {seed}: {type(error).__name__}: {error}",
                str(plan),
                *map(str, tried),
            ]
            raise AssertionError(
                "\n".join([*words, f"again: python tests/fuzz_harness.py {seed}"])
            ) from error
    return hit.hits


def many(seeds: Iterable[int], seconds: float = float("inf")) -> collections.Counter:
    """Seeds one after another, for so many seconds: how many, and how often each fault hit."""
    began, counts = time.monotonic(), collections.Counter()
    for seed in seeds:
        if time.monotonic() - began > seconds:
            break
        counts.update(survives(seed))
        counts["seeds"] += 1
    return +counts


def main() -> None:
    """Runs the seeds that are named, or from the first of them on for as long as is said."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int, nargs="+")
    parser.add_argument(
        "--seconds", type=float, help="how long to go on with the seeds after the first one"
    )
    given = parser.parse_args()
    logs.logger.addHandler(logs.logging.NullHandler())
    logs.logger.propagate = False
    felt = (
        many(given.seed)
        if given.seconds is None
        else many(itertools.count(given.seed[0]), given.seconds)
    )
    print(json.dumps(felt, sort_keys=True))


if __name__ == "__main__":
    main()
