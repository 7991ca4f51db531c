"""Intervals of scores over folds."""

import numpy as np
import pytest
from scipy import stats

from kerastune.analysis import error_analysis, fold_scores


def test_the_interval_over_folds_is_the_corrected_one():
    values = [0.90, 0.92, 0.94, 0.96, 0.98]
    found = fold_scores.summary([{"r2": value} for value in values], [80] * 5, [20] * 5)["r2"]
    half = stats.t.ppf(0.975, 4) * np.sqrt(1 / 5 + 20 / 80) * np.std(values, ddof=1)
    assert found["mean"] == pytest.approx(0.94)
    assert found["std"] == pytest.approx(np.std(values, ddof=1))
    assert found["low"] == pytest.approx(0.94 - half)
    assert found["high"] == pytest.approx(0.94 + half)


def test_the_interval_over_folds_holds_the_truth_about_as_often_as_it_says():
    # A fold's score is the mean of its own examples and of what all folds have from the same
    # examples in training.
    generator, num_folds, hits = np.random.default_rng(3), 5, 0
    for _ in range(1000):
        shared, own = (
            generator.normal(0, np.sqrt(0.2)),
            generator.normal(0, np.sqrt(0.8), num_folds),
        )
        rows = [{"score": shared + value} for value in own]
        found = fold_scores.summary(rows, [80] * num_folds, [20] * num_folds)["score"]
        hits += found["low"] <= 0 <= found["high"]
    assert 930 < hits < 970


def test_an_interval_ends_where_the_metric_does_and_what_is_not_finite_is_left_out():
    rows = [{"accuracy": 1.0, "rmse": 0.0, "r2": np.nan}, {"accuracy": 0.5, "rmse": 3.0, "r2": 0.5}]
    found = fold_scores.summary(rows, [5, 5], [5, 5])
    assert set(found) == {"accuracy", "rmse"}
    assert (found["accuracy"]["low"], found["accuracy"]["high"], found["rmse"]["low"]) == (0, 1, 0)


def test_the_share_of_all_examples_has_wilsons_interval():
    right = np.arange(40) % 10 > 0
    outputs, true = np.eye(2)[right.astype(int)], np.ones(40, int)
    found = fold_scores.pooled(right)
    assert [found[name] for name in ("mean", "low", "high")] == pytest.approx(
        error_analysis.with_interval(outputs, true, "accuracy"), abs=1e-4
    )


def test_copies_within_a_group_make_no_interval_narrower():
    generator = np.random.default_rng(1)
    right, groups = (generator.random(30) < 0.8).astype(float), np.arange(30)
    once = fold_scores.pooled(right, groups)
    copied = fold_scores.pooled(np.repeat(right, 5), np.repeat(groups, 5))
    assert copied == pytest.approx(once)
    alone = fold_scores.pooled(np.repeat(right, 5))
    assert alone["high"] - alone["low"] < 0.6 * (copied["high"] - copied["low"])


def test_errors_have_the_normal_interval():
    errors = np.array([1.0, 2.0, 3.0, 6.0])
    found = fold_scores.pooled(errors, ends=(0.0, np.inf))
    half = stats.norm.ppf(0.975) * errors.std(ddof=1) / 2
    assert (found["mean"], found["low"], found["high"]) == pytest.approx((3, 3 - half, 3 + half))


def test_no_end_of_an_interval_is_where_a_metric_of_any_name_cannot_be():
    names = ["val_accuracy", "val_head_f1_score_1", "val_auc", "val_mean_io_u", "val_box_r2_score"]
    rows = [dict.fromkeys(names, value) for value in (0.7, 1.0, 0.99)]
    found = fold_scores.summary(rows, [20] * 3, [10] * 3)
    assert {name: each["high"] for name, each in found.items()} == dict.fromkeys(names, 1)
    errors = [{"val_out_mean_absolute_error": value, "val_loss": value} for value in (0.0, 4.0)]
    found = fold_scores.summary(errors, [5, 5], [5, 5])
    assert found["val_out_mean_absolute_error"]["low"] == 0 > found["val_loss"]["low"]
    groups = np.arange(4) // 2
    assert fold_scores.pooled([0.0, 0.0, 0.0, 9.0], groups, ends=(0.0, np.inf))["low"] == 0
