"""Which executor a search gets, and what becomes of failures."""

import logging
import pickle
import types

import keras
import keras_tuner
import numpy as np
import pytest

from kerastune.executors import dispatch
from kerastune.executors.base import ExecutorUnavailable, Inline, Result
from kerastune.executors.worker_setup import WorkerSetup
from kerastune.models.hypermodels import BuildFunction, Cnn, Mlp
from kerastune.objective import Objective
from kerastune.problem import Part, Problem
from kerastune.recipe import Recipe
from kerastune.training.trainer import Trainer
from kerastune.trial import TrialSpec
from kerastune.tuner.builder import Builder

PART = Part(
    np.random.default_rng(0).normal(size=[60, 8, 8, 1]).astype("float32"), np.arange(60) % 3
)
PROBLEM = Problem(
    "toy",
    "classification",
    PART,
    PART,
    PART,
    class_names=("a", "b", "c"),
    attach=lambda model: model,
)


def trainer(hypermodel, **others):
    builder = Builder(hypermodel, keras_tuner.HyperParameters())
    return Trainer(PROBLEM, builder, Objective("accuracy", "max"), **others)


def named(hp):
    return keras.Sequential(
        [keras.Input([8, 8, 1]), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")]
    )


@pytest.mark.parametrize("hypermodel", [Mlp(PROBLEM), Cnn(PROBLEM), BuildFunction(named)])
def test_a_worker_setup_trains_as_the_trainer_that_it_is_of(hypermodel):
    ours = trainer(hypermodel)
    theirs = pickle.loads(pickle.dumps(WorkerSetup.of(ours))).trainer()
    assert theirs.problem.test is None  # nobody there has to know it
    recipe = Recipe(batch_size=16)
    assert all(map(np.array_equal, ours.initial_state(recipe), theirs.initial_state(recipe)))


def test_a_segment_trained_by_either_is_the_same():
    ours = trainer(BuildFunction(named))
    theirs, spec = (
        pickle.loads(pickle.dumps(WorkerSetup.of(ours))).trainer(),
        TrialSpec("a", "lr", Recipe(), 0, 2),
    )
    assert np.array_equal(ours.run(spec)[0].losses, theirs.run(spec)[0].losses)


def test_a_teacher_comes_along():
    teacher = named(None)
    ours = trainer(BuildFunction(named))
    ours.teacher = teacher
    theirs = pickle.loads(pickle.dumps(WorkerSetup.of(ours))).trainer().teacher
    assert all(map(np.array_equal, theirs.get_weights(), teacher.get_weights()))


class Unsendable(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.held = lambda: None


@pytest.mark.parametrize(
    "hypermodel, callbacks, words",
    [
        (
            BuildFunction(lambda hp: named(hp)),
            [],
            "the model's builder can't be sent to a worker (Can't",
        ),
        (BuildFunction(named), [Unsendable()], "a callback can't be sent to a worker (Can't"),
    ],
)
def test_what_can_not_be_sent_runs_inline_and_says_so(caplog, hypermodel, callbacks, words):
    with caplog.at_level(logging.WARNING, "kerastune"):
        with dispatch.started(
            "processes", 2, "", trainer(hypermodel, callbacks=callbacks), print
        ) as executor:
            assert isinstance(executor, Inline)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"Trials run inline, one at a time: {words}")


def test_a_stream_runs_inline():
    ours = types.SimpleNamespace(problem=types.SimpleNamespace(stream=object()))
    with pytest.raises(ExecutorUnavailable, match="the data are a tf.data stream"):
        WorkerSetup.of(ours)


def test_a_search_whose_workers_turn_out_not_to_do_goes_on_inline(caplog):
    class Lame(Inline):
        closed = False

        def run(self, search, on_begin):
            yield "first"
            raise ExecutorUnavailable("a worker can't be set up (ImportError: no)")

        def close(self):
            self.closed = True

    lame, search = Lame(None), types.SimpleNamespace(next=lambda: None)
    assert list(dispatch.results(lame, None, search, print)) == ["first"]
    assert (
        lame.closed and "one at a time: a worker can't be set up (ImportError: no)." in caplog.text
    )


class Recorder:
    def __init__(self):
        self.outcomes, self.recorded = {}, []

    def record(self, *arguments):
        self.recorded.append(arguments)


def failed(stage, error):
    playbook = Recorder()
    dispatch.record(
        Result(TrialSpec("a", stage, Recipe(batch_size=256), 0, 50), error=error), playbook
    )
    ((outcome, last, best),) = playbook.recorded
    assert last is best is None and outcome.diverged_at == 0
    return outcome.error


def test_only_stages_that_pass_it_over_go_on_after_a_failure():
    assert failed("model", ValueError("no such layer")) == "ValueError: no such layer"
    assert failed("batch", MemoryError("OOM")) == "MemoryError: OOM"
    with pytest.raises(ValueError, match="no such layer"):
        failed("batch", ValueError("no such layer"))
    with pytest.raises(keras_tuner.errors.FatalValueError, match="wrong file"):
        failed("model", keras_tuner.errors.FatalValueError("wrong file"))
    with pytest.raises(MemoryError, match="a ran out of memory alone .batch size 256.: choose a"):
        failed("train", MemoryError("OOM"))


@pytest.mark.parametrize(
    "executor, jobs, words",
    [
        ("threads", 1, "`executor` must be one of inline, processes, ray, got 'threads'"),
        ("processes", -1, "`jobs` must be a whole number"),
        (
            "inline",
            2,
            "`jobs` is 2, but inline runs one trial at a time: choose executor processes",
        ),
    ],
)
def test_settings_that_can_not_be_are_refused(executor, jobs, words):
    with pytest.raises(ValueError, match=words):
        dispatch.check(executor, jobs)
