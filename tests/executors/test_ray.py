"""Ray: a missing one is told of in a line; with it, the same is decided as inline."""

import builtins
import importlib.util
import os
import signal

import pytest
from fake_trainer import FakeTrainer, canonical
from fake_worker_setup import FakeWorkerSetup, Unloadable
from test_processes import are_gone, begun
from test_waves import opened
from test_worker_pool import driven

from kerastune.executors import dispatch, ray_actors, worker_pool
from kerastune.executors.base import ExecutorUnavailable, Inline
from kerastune.executors.workers import Patience

needs_ray = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason="needs Ray: pip install 'kerastune[ray]'"
    ),
]


def test_without_ray_the_line_says_what_to_install(monkeypatch):
    whole = builtins.__import__

    def without(name, *arguments, **others):
        if name == "ray":
            raise ImportError("No module named 'ray'")
        return whole(name, *arguments, **others)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        ImportError, match=r"`executor` ray needs Ray, .* pip install 'kerastune\[ray\]'"
    ):
        dispatch.check("ray", 2)


def found(directory, setup, jobs, between=lambda workers: None, **patience):
    workers = ray_actors.Actors(setup, jobs, "")
    pool = worker_pool.WorkerPool(workers, jobs, patience=Patience(**patience))
    with opened(directory) as study, pool:
        search, counts = begun(study), {}
        for result in pool.run(search, lambda spec: None):
            if result.error is not None:
                raise result.error
            search.record(result.outcome, result.last, result.best, result.alone)
            key = (result.spec.trial, result.spec.start)
            counts[key] = counts.get(key, 0) + 1
            between(workers)
        assert set(counts.values()) == {1}
        assert all(
            outcome.notes == ("sum 10000",) for outcome in search.outcomes.values()
        )  # mapped, not copied
        return canonical(study)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("whole")) as study:
        driven(Inline(FakeTrainer(tau=30)), begun(study))
        return canonical(study)


class TestActors:
    pytestmark = needs_ray

    @pytest.mark.parametrize("jobs", [1, 2, 4])
    def test_actors_decide_what_inline_decides_and_are_gone_afterwards(self, whole, tmp_path, jobs):
        pids = set()
        assert (
            found(
                tmp_path,
                FakeWorkerSetup(str(tmp_path)),
                jobs,
                lambda workers: pids.update(workers.pids),
            )
            == whole
        )
        assert 1 <= len(pids) <= jobs and are_gone(pids)

    def test_an_actor_that_is_killed_stopped_or_starved_in_a_trial_changes_nothing(
        self, whole, tmp_path
    ):
        folder = tmp_path / "asked"
        folder.mkdir()
        for name in (
            "lr-0.01.kill-1",
            "lr-0.01.kill-2",
            "lr-0.1.stop",
            "lr-0.03.memory",
            "baseline.kill",
        ):
            (folder / name).touch()
        setup = FakeWorkerSetup(str(folder), 0.01)
        assert found(tmp_path, setup, 2, least=5, factor=1, first=60) == whole
        assert not list(folder.iterdir())

    def test_actors_killed_at_random_change_nothing(self, whole, tmp_path):
        kills = []

        def kill_one(workers):
            if len(kills) < 5 and workers.pids:
                os.kill(workers.pids[-1], signal.SIGKILL)
                kills.append(workers.pids[-1])

        assert found(tmp_path, FakeWorkerSetup(str(tmp_path), 0.01), 2, kill_one) == whole
        assert len(kills) == 5

    def test_what_can_not_be_taken_up_and_what_a_model_raises_are_told(self, tmp_path):
        with pytest.raises(
            ExecutorUnavailable,
            match=r"can't be set up \(ImportError: no module of that name here\)",
        ):
            found(tmp_path, Unloadable(str(tmp_path)), 2)
        (tmp_path / "baseline.error").touch()
        with pytest.raises(ValueError, match="the model of baseline"):
            found(tmp_path, FakeWorkerSetup(str(tmp_path)), 1)
