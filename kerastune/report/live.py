"""The report of a search that is still running: written anew after every decision."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from kerastune.objective import Objective
from kerastune.playbook import extending
from kerastune.playbook.decision import Decision
from kerastune.playbook.driver import Playbook
from kerastune.recipe import Recipe
from kerastune.report import page, status, writer
from kerastune.report.blocks import Drawing
from kerastune.report.search_sections import Findings
from kerastune.report.status import Standing, Status
from kerastune.runtime.locks import Holder
from kerastune.study import extensions, run_directory
from kerastune.study.extensions import Extension
from kerastune.study.run_directory import RunDir
from kerastune.trial import Outcome

SHARE = 0.02  # of the seconds of a search, that this may take

logger = logging.getLogger("kerastune")


@dataclasses.dataclass(frozen=True)
class SoFar:
    """What a running search has found.

    Args:
        decisions: so far.
        outcomes: of all trials by name.
        recipe: the latest; that of the result, where there is one; `None` before any decision.
        pictures: of the decisions by stage.
        standing: how far the search is.
        elapsed: seconds of the search so far.
        result: what is handed out until an extension has ended; empty of a search itself.
        built_on: numbers of the extensions that led to the result, as `extensions.built_on`.
    """

    decisions: Sequence[Decision]
    outcomes: Mapping[str, Outcome]
    recipe: Recipe | None
    pictures: Mapping[str, Drawing]
    standing: Standing
    elapsed: float
    result: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    built_on: frozenset[int] = frozenset({0})


def of_search(
    playbook: Playbook,
    extension: Extension | None,
    run_dir: RunDir,
    pictures: Mapping[str, Drawing],
) -> SoFar:
    """What a search has found so far.

    Until an extension has ended, what was handed out before it stays.

    Args:
        playbook: of the search.
        extension: that is at work; `None` for the search itself.
        run_dir: the output directory.
        pictures: of the decisions by stage.
    """
    study, decisions = playbook.study, playbook.decisions
    recipe = playbook.recipe if decisions else None
    stages, budget = [stage.name for stage in playbook.stages], playbook.budget
    result: dict[str, Any] = {}
    built_on = frozenset({0})
    if extension:
        stages, budget = status.of_extension(extension, decisions, stages)
        result = extensions.result(study)
        built_on = extensions.built_on(study, result["extension"])
        recipe = extending.in_force(decisions, built_on)[-1].after
    now = Status(
        Holder.here(),
        budget,
        stages,
        {each.name: (each.headline, each.numbers) for each in decisions},
        playbook.outcomes,
        study.seconds(),
        is_finished=False,
        going_on=status.going_on(run_dir),
        added=extension.budget if extension else "",
    )
    found = decisions, playbook.outcomes, recipe, pictures
    return SoFar(*found, status.standing(now), now.seconds, result, built_on)


@contextlib.contextmanager
def told_to_stop(run_dir: RunDir, write: Callable[[], Any]) -> Iterator[None]:
    """Has the page say that the search stopped, where a `with` block is left by any error.

    Args:
        run_dir: the output directory.
        write: writes the page with what was found since it was written; not asked where it is not
            that of a running search.
    """
    try:
        yield
    except BaseException:
        try:
            # What stops the search matters more than what stops its page.
            with contextlib.suppress(Exception):
                if run_directory.says_running(run_dir.report):
                    write()
        finally:
            run_directory.mark_stopped(run_dir.report)
        raise


class LiveReport:
    """Writes the page of a running search, as long as that takes a small share of its time.

    What can't be written is told once, and the search goes on: the report is written once more at
    its end.

    Args:
        run_dir: the output directory.
        about: as `writer.about` gives it.
        objective: the validation value that chooses.
        draws: whether the learning curves are drawn.
        clock: gives seconds.
    """

    def __init__(
        self,
        run_dir: RunDir,
        about: Mapping[str, Any],
        objective: Objective,
        draws: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._run_dir, self._about, self._objective = run_dir, dict(about), objective
        self._draws, self._clock = draws, clock
        self._last = 0.0
        self.seconds = 0.0  # that it took so far
        self._is_told = False
        self._curves: list[tuple[str, str, int]] = []  # that are drawn, and how far they went
        self._drawn: dict[str, Drawing] = {}

    def write(self, so_far: SoFar, at_once: bool = False) -> bool:
        """Writes the page, where that is asked for `at_once` or takes little; gives whether it
        did.
        """
        if not at_once and self.seconds and self.seconds + self._last > SHARE * so_far.elapsed:
            return False
        began = self._clock()
        try:
            self._write(so_far)
        except OSError as error:
            if not self._is_told:
                logger.warning("The report can't be written now (%s).", error)
            self._is_told = True
        self._last = self._clock() - began
        self.seconds += self._last
        return True

    def _write(self, so_far: SoFar) -> None:
        pictures = {f"stage-{stage}": each for stage, each in so_far.pictures.items()}
        findings = Findings(
            decisions=list(so_far.decisions),
            outcomes=dict(so_far.outcomes),
            result=dict(so_far.result),
            about=self._about,
            recipe=so_far.recipe,
            where=str(self._run_dir.path),
            pictures=pictures | self._learning(so_far),
            objective=self._objective,
            use=page.use(self._run_dir.predict_script, self._run_dir.model, self._about)
            if so_far.result
            else "",
            standing=so_far.standing,
            built_on=so_far.built_on,
        )
        writer.write_page(self._run_dir, findings)

    def learning_of(self, trial: str | None) -> dict[str, Drawing]:
        """The learning curves as they were drawn last, if they are those of a trial."""
        return self._drawn if trial in [name for _, name, _ in self._curves] else {}

    def _learning(self, so_far: SoFar) -> dict[str, Drawing]:
        """The learning curves, drawn anew where they are others than those of the last page."""
        if not self._draws:
            return {}
        final = so_far.result.get("trial")
        shown = writer.learning_shown(so_far.decisions, so_far.outcomes, final)
        curves = [(words, each.spec.trial, each.steps) for words, each in shown.items()]
        if curves != self._curves:
            found = (so_far.decisions, so_far.outcomes, self._objective, final)
            self._curves, self._drawn = curves, writer.learning_pictures(*found)
        return self._drawn
