"""A worker pool: the same decisions whatever happens to workers, and no result counted twice."""

import collections

import pytest
from fake_trainer import CHUNK, FakeClock, FakeTrainer, canonical, facts
from fake_workers import FakeWorkers
from test_waves import BUDGET, NAMES, Wide, opened, searching

from kerastune.budget import Budget
from kerastune.executors import worker_pool
from kerastune.executors import workers as messages
from kerastune.executors.base import ExecutorUnavailable, Inline
from kerastune.executors.workers import Patience
from kerastune.playbook.driver import Playbook
from kerastune.playbook.stages import registry
from kerastune.playbook.stages.stage_setup import Setup
from kerastune.recipe import Recipe
from kerastune.trial import Outcome


def driven(executor, search, fails=False):
    """Trains until nothing is left; gives how often each segment was recorded."""
    counts = collections.Counter()
    for result in executor.run(search, lambda spec: None):
        if result.error is not None and not fails:
            raise result.error
        outcome = result.outcome or Outcome.failed(result.spec, result.error)
        search.record(outcome, result.last, result.best, result.alone)
        counts[(result.spec.trial, result.spec.start)] += 1
    return counts


def found(directory, workers, jobs, **others):
    directory.mkdir(exist_ok=True)
    with opened(directory) as study:
        search = searching(study)
        counts = driven(
            worker_pool.WorkerPool(workers, jobs, clock=workers.clock, **others), search
        )
        assert search.stage is None and set(counts.values()) == {1}
        return canonical(study)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("whole")) as study:
        search = searching(study)
        driven(Inline(FakeTrainer(tau=30)), search)
        return canonical(study)


@pytest.mark.parametrize("jobs", [2, 4, 64])
def test_any_number_of_workers_decides_what_inline_decides(whole, tmp_path, jobs):
    workers = FakeWorkers(FakeClock(), seed=jobs)
    assert found(tmp_path, workers, jobs) == whole
    assert min(jobs, 8) <= workers.most_busy <= jobs
    assert workers.idled == 0
    assert workers.started <= jobs  # no more than there ever was to do, and each once


@pytest.mark.parametrize("fault", ["lost", "hangs", "late"])
def test_a_worker_that_is_lost_or_hangs_changes_nothing(whole, tmp_path, fault):
    for seed in range(2):
        lost = collections.Counter()

        def some(assignment, random, lost=lost):
            key = (assignment.spec.trial, assignment.spec.start)
            if random.random() < 0.3 and lost[key] < 2:
                lost[key] += 1
                return fault
            return ""

        workers = FakeWorkers(FakeClock(), seed, some)
        assert found(tmp_path / str(seed), workers, jobs=4) == whole
        assert lost.total() > 2 and len(workers.assignments) == len(
            {assignment.attempt for assignment in workers.assignments}
        )


def test_a_late_result_is_dropped_also_when_its_worker_was_given_something_else(tmp_path):
    with opened(tmp_path) as study:
        search = searching(study, "10000steps", [Wide()])
        workers = FakeWorkers(FakeClock())
        pool = worker_pool.WorkerPool(workers, 1, clock=workers.clock)
        run = pool.run(search, lambda spec: None)
        first = next(run)
        search.record(first.outcome, first.last, first.best)
        stale = (first.outcome, first.last, first.best)
        workers._later(
            0.0, messages.Message(1, messages.DONE, 1, stale)
        )  # the attempt was answered already
        names = [first.spec.trial]
        for result in run:
            search.record(result.outcome, result.last, result.best)
            names.append(result.spec.trial)
        assert names == [f"wide-{i}" for i in range(4)]


def test_three_losses_of_one_segment_end_the_search_and_what_was_recorded_is_kept(tmp_path):
    with opened(tmp_path) as study:
        search = searching(study, "10000steps", [Wide()])
        workers = FakeWorkers(
            FakeClock(),
            fault=lambda assignment, random: "lost" * (assignment.spec.trial == "wide-2"),
        )
        with pytest.raises(
            RuntimeError,
            match=r"wide-2 \(steps 0 to 1000\) was killed, 3 times\. The study is kept",
        ):
            driven(worker_pool.WorkerPool(workers, 1, clock=workers.clock), search)
        assert list(study.outcomes()) == ["wide-0", "wide-1"] == list(search.outcomes)
        assert [assignment.spec.trial for assignment in workers.assignments] == [
            "wide-0",
            "wide-1",
            *["wide-2"] * 3,
        ]


def test_silence_is_allowed_in_proportion_to_what_chunks_took_and_twice_as_long_after_a_loss(
    tmp_path,
):
    with opened(tmp_path) as study:
        search = searching(study, "10000steps", [Wide()])
        workers = FakeWorkers(
            FakeClock(), fault=lambda assignment, random: "hangs" * (assignment.attempt in (1, 2))
        )
        pool = worker_pool.WorkerPool(
            workers,
            1,
            clock=workers.clock,
            patience=Patience(least=100, first=300, factor=100),
        )
        began = []
        for result in pool.run(search, lambda spec: began.append(workers.clock.now)):
            search.record(result.outcome, result.last, result.best)
        # Steps were heard of after at most 10 s, silence after them had not been seen before.
        assert 300 <= began[1] - began[0] <= 315 and 600 <= began[2] - began[1] <= 615


def test_out_of_memory_halves_the_jobs_and_the_trial_is_alone_the_second_time(whole, tmp_path):
    def starves(assignment, random):
        hungry = assignment.spec.recipe.batch_size == 256 and workers.beside[assignment.attempt]
        return MemoryError() if hungry else ""

    workers = FakeWorkers(FakeClock(), 1, starves)
    assert found(tmp_path, workers, jobs=8) == whole
    tries = collections.defaultdict(list)
    for each in workers.assignments:
        tries[(each.spec.trial, each.spec.start)].append(workers.beside[each.attempt])
    again = [beside for beside in tries.values() if len(beside) > 1]
    assert again and all(len(beside) == 2 and beside[0] and not beside[1] for beside in again)


class ResourceExhaustedError(Exception):
    pass


@pytest.mark.parametrize(
    "error", [MemoryError(), ResourceExhaustedError("OOM when allocating"), ValueError("mine")]
)
def test_who_fails_alone_too_has_failed(tmp_path, error):
    with opened(tmp_path) as study:
        search = searching(study, "10000steps", [Wide()])
        workers = FakeWorkers(
            FakeClock(),
            fault=lambda assignment, random: error if assignment.spec.trial == "wide-1" else "",
        )
        pool = worker_pool.WorkerPool(workers, 4, clock=workers.clock)
        driven(pool, search, fails=True)
        assert (
            search.outcomes["wide-1"].error.startswith(type(error).__name__)
            and len(search.outcomes) == 4
        )
        is_memory = not isinstance(error, ValueError)
        assert len(workers.assignments) == 4 + is_memory and pool.jobs == (2 if is_memory else 4)


def test_how_many_there_are_is_measured_from_the_first_outcome(tmp_path):
    with opened(tmp_path) as study:
        search = searching(study, "10000steps", [Wide()])
        workers = FakeWorkers(FakeClock(), peak_memory=700)
        asked = []
        pool = worker_pool.WorkerPool(
            workers, 0, how_many=lambda peak: asked.append(peak) or 3, clock=workers.clock
        )
        driven(pool, search)
        assert asked == [700] and pool.jobs == search.jobs == workers.most_busy == 3
        assert not workers.beside[1]


def test_a_timed_trial_that_runs_out_of_memory_or_is_lost_does_not_stop_the_others(tmp_path):
    for name, fault in {"memory": MemoryError(), "lost": "lost"}.items():
        directory = tmp_path / name
        directory.mkdir()
        clock = FakeClock()
        with opened(directory, clock=clock) as study:
            search = searching(study, "1000s", [Wide()])

            def first(assignment, random, fault=fault):
                return fault if assignment.attempt == 1 else ""

            pool = worker_pool.WorkerPool(FakeWorkers(clock, fault=first), 4, clock=clock)
            assert len(driven(pool, search)) == 4 and search.stage is None


def test_the_timed_trial_runs_alone_and_the_others_side_by_side(tmp_path):
    clock = FakeClock()
    with opened(tmp_path, clock=clock) as study:
        search = searching(study, "1000s", [Wide()])
        workers = FakeWorkers(clock)
        alone = {}
        for result in worker_pool.WorkerPool(workers, 4, clock=clock).run(
            search, lambda spec: None
        ):
            alone[result.spec.trial] = result.alone
            search.record(result.outcome, result.last, result.best, result.alone)
        assert [trial for trial in alone if alone[trial]] == ["wide-0"] and workers.most_busy == 3


def test_nobody_idles_while_a_result_is_recorded(tmp_path):
    with opened(tmp_path) as study:
        search = searching(study, "10000steps", [Wide()])
        workers = FakeWorkers(FakeClock())
        run = worker_pool.WorkerPool(workers, 2, clock=workers.clock).run(search, lambda spec: None)
        for left in (2, 2, 1, 0):
            result = next(run)
            assert len(workers.busy) == left
            search.record(result.outcome, result.last, result.best)
        assert next(run, None) is None and search.stage is None


def test_a_pool_takes_up_another_search_with_the_same_workers(tmp_path):
    workers = FakeWorkers(FakeClock())
    pool = worker_pool.WorkerPool(workers, 2, clock=workers.clock)
    for name in "ab":
        (tmp_path / name).mkdir()
        with opened(tmp_path / name) as study:
            search = searching(study, "10000steps", [Wide()])
            assert len(driven(pool, search)) == 4 and search.stage is None
    assert workers.started == 2


def test_a_trial_goes_on_where_it_was_when_something_of_it_is_kept_there(tmp_path):
    homes = collections.defaultdict(set)

    class Watched(FakeWorkers):
        def send(self, worker, assignment):
            homes[assignment.spec.trial].add(worker)
            super().send(worker, assignment)

    for sticky in (False, True):
        most = 0
        for seed in range(2):
            homes.clear()
            found(tmp_path / f"{sticky}-{seed}", Watched(FakeClock(), seed), jobs=2, sticky=sticky)
            most = max(most, *map(len, homes.values()))
        assert (most == 1) == sticky


def test_workers_that_do_not_start_leave_everything_to_whoever_goes_on(tmp_path):
    class Lame(FakeWorkers):
        def start(self):
            self.started += 1
            self._later(1.0, messages.Message(self.started, kind, 0, "can't be unpickled"))
            return self.started

    for kind in (messages.UNAVAILABLE, messages.LOST):
        (tmp_path / kind).mkdir()
        with opened(tmp_path / kind) as study:
            search = searching(study, "10000steps", [Wide()])
            workers = Lame(FakeClock())
            with pytest.raises(ExecutorUnavailable, match="can't be unpickled"):
                driven(worker_pool.WorkerPool(workers, 2, clock=workers.clock), search)
            told_to_stop = kind == messages.UNAVAILABLE
            assert told_to_stop or workers.started >= worker_pool.MOST_LOSSES
            driven(Inline(FakeTrainer()), search)
            assert search.stage is None and len(search.outcomes) == 4


@pytest.mark.parametrize("killed", [1, worker_pool.MOST_LOSSES - 1])
def test_workers_that_are_killed_while_they_start_are_started_again(whole, tmp_path, killed):
    class Shot(FakeWorkers):
        def start(self):
            if self.started >= killed:
                return super().start()
            self.started += 1
            self._later(1.0, messages.Message(self.started, messages.LOST, 0, "ended (signal 9)"))
            return self.started

    workers = Shot(FakeClock(), seed=1)
    assert found(tmp_path, workers, jobs=2) == whole and workers.started == 2 + killed


@pytest.mark.parametrize("able", [2, 1])
def test_who_can_work_goes_on_where_no_more_workers_can_be_started(whole, tmp_path, caplog, able):
    class Full(FakeWorkers):
        """A machine with memory for some workers: the others are killed while they start."""

        def start(self):
            if self.started < able:
                return super().start()
            self.started += 1
            self._later(1.0, messages.Message(self.started, messages.LOST, 0, "ended (signal 9)"))
            return self.started

    workers = Full(FakeClock(), seed=1)
    assert found(tmp_path, workers, jobs=4) == whole
    assert workers.most_busy == able and workers.started < able + 2 * worker_pool.MOST_LOSSES
    assert f"continues with {able} running workers" in caplog.text


def test_a_search_in_which_nobody_can_be_started_any_more_ends(tmp_path):
    class Full(FakeWorkers):
        def start(self):
            worker = super().start()
            if worker > 1:
                self._later(0.0, messages.Message(worker, messages.LOST, 0, "ended (signal 9)"))
            return worker

    with opened(tmp_path) as study:
        workers = Full(FakeClock(), 1, lambda assignment, random: "lost")
        with pytest.raises(
            RuntimeError, match=r"did not start: the last one ended \(signal 9\)\.$"
        ):
            driven(worker_pool.WorkerPool(workers, 1, clock=workers.clock), searching(study))


def test_a_batch_size_that_needs_too_much_memory_is_passed_over(tmp_path):
    with opened(tmp_path) as study:
        search = Playbook(
            study,
            registry.make(NAMES, Setup(CHUNK)),
            Recipe(),
            facts(allowance=0),
            Budget.parse(BUDGET),
        )
        workers = FakeWorkers(
            FakeClock(),
            1,
            lambda assignment, random: (
                MemoryError() if assignment.spec.recipe.batch_size > 64 else ""
            ),
        )
        driven(worker_pool.WorkerPool(workers, 4, clock=workers.clock), search, fails=True)
        assert search.stage is None
        decided = {decision["stage"]: decision for decision in study.decisions()}["batch"]
        large = {
            name for name, outcome in search.outcomes.items() if outcome.spec.recipe.batch_size > 64
        }
        assert large and large <= set(decided["values"]["diverged"])
