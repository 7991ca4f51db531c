"""Specs, outcomes and states: the values that travel."""

import dataclasses
import io
import json

import numpy as np
import pytest

from kerastune.analysis.trial_curves import Curves
from kerastune.recipe import Recipe
from kerastune.trial import Outcome, State, TrialSpec


def spec(start=0, until=100, **changes):
    return TrialSpec("lr-0.1", "lr", Recipe(), start, until, **changes)


def outcome(start, until, **changes):
    steps = np.arange(start, until)
    curves = Curves(
        {"loss": steps.astype(np.float32), "accuracy": -steps.astype(np.float32)},
        norm_steps=steps[::10],
        update_norms=np.full([len(steps[::10]), 2], start, np.float32),
        weight_norms=np.full([len(steps[::10]), 2], until, np.float32),
    )
    values = {
        "curves": curves,
        "evals": ({"step": until, "loss": float(until)},),
        "layers": ("a", "b"),
        "seconds": 2.0,
        "seconds_per_step": 0.01,
        "peak_memory": 100 + start,
        **changes,
    }
    return Outcome(spec(start, until), **values)


@pytest.mark.parametrize("start, until", [(100, 100), (100, 50), (-1, 50), (0, 0)])
def test_a_segment_that_goes_nowhere_is_refused_with_both_steps(start, until):
    with pytest.raises(ValueError, match=rf"{until}.*{start}"):
        spec(start, until)


@pytest.mark.parametrize("start, until, every", [(0, 100, 30), (50, 200, 100)])
def test_evaluations_that_do_not_fit_are_refused_with_their_numbers(start, until, every):
    with pytest.raises(ValueError, match=rf"{every}.*{start}.*{until}"):
        spec(start, until, eval_every=every)


def test_a_spec_survives_json():
    given = TrialSpec(
        "t", "train", Recipe(hyperparameters={"units": 8}), 100, 300, 50, keep_best=True
    )
    assert TrialSpec.from_dict(json.loads(json.dumps(given.to_dict()))) == given


def test_segments_join_in_their_order():
    joined = outcome(100, 250).after(outcome(0, 100))
    assert joined.steps == 250
    np.testing.assert_array_equal(joined.losses, np.arange(250))
    np.testing.assert_array_equal(joined.curves["accuracy"], -np.arange(250))
    assert [values["step"] for values in joined.evals] == [100, 250]
    np.testing.assert_array_equal(joined.norm_steps, np.arange(0, 250, 10))
    assert joined.update_norms[:10].max() == 0 and joined.update_norms[10:].min() == 100
    assert joined.weight_norms[:10].max() == 100 and joined.weight_norms[10:].min() == 250
    assert joined.spec.start == 100 and joined.losses.dtype == np.float32


def test_joining_adds_time_and_keeps_the_largest_memory():
    joined = outcome(100, 200).after(outcome(0, 100, peak_memory=999))
    assert joined.seconds == 4.0 and joined.peak_memory == 999


@pytest.mark.parametrize(("folds", "left_out"), [(3, 0), (3, 4), (0, 1), (3, -1), (1, 1)])
def test_a_fold_that_is_left_out_is_one_of_them(folds, left_out):
    with pytest.raises(ValueError, match="`left_out` .* must be one of `folds`"):
        TrialSpec("a", "ensemble", Recipe(), 0, 50, folds=folds, left_out=left_out)


@pytest.mark.parametrize("cut", [{"repeat": 1}, {"folds": 5, "left_out": 1, "repeat": -1}])
def test_a_repeat_is_that_of_folds(cut):
    with pytest.raises(ValueError, match=r"`repeat` \(-?1\) must be >= 0, and 0 without `folds`"):
        TrialSpec("a", "ensemble", Recipe(), 0, 50, **cut)


def test_a_first_segment_is_itself():
    first = outcome(0, 50)
    assert first.after(None) is first


def test_joining_keeps_earlier_scores_unless_there_are_new_ones():
    old, new = np.zeros(3), np.ones(3)
    first = outcome(0, 50, example_scores=old, mirrored_scores=old)
    assert outcome(50, 100).after(first).example_scores is old
    assert outcome(50, 100).after(first).mirrored_scores is old
    later = outcome(50, 100, example_scores=new, mirrored_scores=new).after(first)
    assert later.example_scores is later.mirrored_scores is new


def test_joining_keeps_a_time_per_step_and_says_each_note_once():
    first = outcome(0, 50, notes=("a",))
    joined = outcome(50, 100, seconds_per_step=0.0, notes=("a", "b")).after(first)
    assert joined.seconds_per_step == 0.01 and joined.notes == ("a", "b")


def test_joining_leaves_both_sides_as_they_were():
    first, second = outcome(0, 50), outcome(50, 100)
    second.after(first)
    assert first.steps == 50 and second.steps == 50 and len(first.evals) == 1


def test_divergence_of_the_last_segment_is_the_trials():
    assert outcome(50, 100, diverged_at=77).after(outcome(0, 50)).diverged_at == 77


def test_a_later_segment_that_failed_leaves_the_curves_as_they_were():
    first = outcome(0, 50, example_scores=np.ones(3))
    failed = Outcome.failed(
        dataclasses.replace(first.spec, start=50, until=100), MemoryError("too large")
    )
    joined = failed.after(first)
    assert (
        joined.steps == 50
        and joined.layers == first.layers
        and set(joined.curves) == set(first.curves)
    )
    assert joined.update_norms.shape == first.update_norms.shape and joined.evals == first.evals
    assert (joined.spec.start, joined.diverged_at, joined.error) == (
        50,
        50,
        "MemoryError: too large",
    )


def test_a_state_survives_as_bytes_bit_by_bit():
    arrays = [
        np.array([1.5, np.nan, -0.0, np.inf, 1e-45], np.float32),
        np.array(7, np.int64),
        np.zeros([0, 3], np.float16),
        np.array([[1, 2], [3, 4]], np.uint32),
        *[np.full(2, i, np.float32) for i in range(12)],
    ]
    state = State(1234, arrays, arrays[::-1], first_loss=2.3)
    again = State.from_bytes(state.to_bytes())
    assert (again.step, again.first_loss) == (1234, 2.3)
    for given, found in ((state.model, again.model), (state.optimizer, again.optimizer)):
        assert len(given) == len(found)
        for a, b in zip(given, found, strict=True):
            assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


def test_an_unknown_first_loss_stays_unknown():
    assert np.isnan(State.from_bytes(State(0, [], []).to_bytes()).first_loss)


def test_a_state_is_never_unpickled():
    stream = io.BytesIO()
    np.savez(stream, **{"step": 1, "first_loss": 0.0, "model/0": np.array([{}], object)})
    with pytest.raises(ValueError, match="allow_pickle"):
        State.from_bytes(stream.getvalue())
