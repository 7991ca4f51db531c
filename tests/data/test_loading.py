"""What was read becomes a checked, cut and prepared problem, or is refused in one line."""

import sys

import keras
import numpy as np
import pytest

from kerastune.data import checks, loading
from kerastune.problem import labels


def dense(num_features, num_outputs):
    return keras.Sequential([keras.Input((num_features,)), keras.layers.Dense(num_outputs)])


def reloaded(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return keras.models.load_model(tmp_path / "model.keras")


def examples(num_examples=60, num_classes=3, seed=0):
    y = np.arange(num_examples) % num_classes
    return np.random.default_rng(seed).normal(5.0, 2.0, (num_examples, 4)), y


# Names.


def test_digits_are_the_default_cut_and_standardized_on_the_training_part():
    problem = loading.load()
    checks.check(problem, 64)
    assert (len(problem.train), len(problem.validation), len(problem.test)) == (1298, 229, 270)
    assert problem.train.x.shape[1:] == (8, 8, 1) and problem.num_classes == 10
    assert abs(problem.train.x.mean()) < 1e-5 and abs(problem.train.x.std() - 1) < 1e-5
    assert abs(problem.validation.x.mean()) > 1e-5
    assert any("270 of 1797" in note and "test part" in note for note in problem.notes)


def test_the_saved_model_takes_raw_digits(tmp_path):
    from sklearn.datasets import load_digits

    problem = loading.load("digits", seed=3)
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    raw = load_digits().images
    prepared = problem.test.x
    outputs = np.asarray(reloaded(problem.attach(model), tmp_path)(raw))
    for expected in np.asarray(model(prepared))[:20]:
        assert np.abs(outputs - expected).max(axis=1).min() < 1e-5


def test_cuts_depend_on_the_seed_only():
    first, again, other = (loading.load("iris", seed=seed) for seed in (1, 1, 2))
    assert (first.test.x == again.test.x).all() and (first.validation.x == again.validation.x).all()
    assert first.test.x.shape != other.test.x.shape or (first.test.x != other.test.x).any()
    assert first.class_names == ("setosa", "versicolor", "virginica")


def test_ones_own_model_gets_its_data_as_they_are_unless_asked():
    as_is = loading.load("digits", for_own_model=True)
    assert as_is.attach is None and as_is.train.x.shape[1:] == (8, 8) and as_is.train.x.max() == 16
    standardized = loading.load("digits", for_own_model=True, standardize=True)
    assert standardized.train.x.shape[1:] == (8, 8) and abs(standardized.train.x.mean()) < 1e-5
    assert standardized.attach is not None
    assert loading.load("digits", standardize=False).train.x.max() == 16


def test_regression_is_standardized_and_given_back_in_the_users_units(tmp_path):
    problem = loading.load("diabetes")
    assert problem.kind == "regression" and problem.class_names == ()
    assert abs(problem.train.y.mean()) < 1e-5 and abs(problem.train.y.std() - 1) < 1e-5
    x = np.random.default_rng(0).random((100, 4)).astype("float32")
    y = 300.0 + 50 * x.sum(axis=1)
    problem = loading.from_arrays(x, y, validation_data=(x, y))
    np.testing.assert_allclose(
        problem.validation.y * problem.target_scale + problem.target_mean, y, rtol=1e-5
    )
    model = dense(4, 1)
    attached = reloaded(problem.attach(model), tmp_path)
    np.testing.assert_allclose(
        attached(x), model(x) * problem.target_scale + problem.target_mean, rtol=1e-5
    )


def test_a_seed_below_zero_and_an_unknown_kind_are_refused():
    for options, message in [
        ({"seed": -1}, "`seed` must be at least 0"),
        ({"kind": "ranking"}, "`kind` must be"),
    ]:
        with pytest.raises(ValueError, match=message) as caught:
            loading.load("iris", **options)
        assert "\n" not in str(caught.value)


# Arrays.


def test_arrays_are_cut_for_validation_only_and_left_alone():
    x, y = examples()
    problem = loading.from_arrays(x, y, sample_weight=np.arange(60.0))
    assert problem.test is None and len(problem.validation) == 9 and problem.attach is None
    assert np.bincount(labels(problem.validation.y)).tolist() == [3, 3, 3]
    for part in (problem.train, problem.validation):
        assert (x[part.sample_weight.astype(int)] == part.x).all() and (
            part.sample_weight % 3 == part.y
        ).all()


def test_one_hot_stays_for_ones_own_model_and_becomes_integers_for_built_in_ones():
    x, y = examples()
    assert loading.from_arrays(x, np.eye(3)[y]).train.y.shape == (51, 3)
    assert loading.from_arrays(x, np.eye(3)[y], prepare=True).train.y.ndim == 1
    assert loading.from_arrays(x, y[:, None], prepare=True).train.y.ndim == 1


def test_labels_of_any_kind_are_numbered_and_named():
    x, y = examples()
    for values, names in [
        (np.array(["low", "mid", "top"]), ("low", "mid", "top")),
        (np.array([5, 7, 70]), ("5", "7", "70")),
        (np.array([False, True, True]), ("False", "True")),
    ]:
        problem = loading.from_arrays(x, values[y])
        assert problem.class_names == names
        assert [names[label] for label in problem.train.y] == [
            str(v) for v in values[labels_of(problem, x, y)]
        ]


def labels_of(problem, x, y):
    """Labels of the training examples, found by their inputs."""
    return [y[np.flatnonzero((x == row).all(axis=1))[0]] for row in problem.train.x]


def test_class_weights_are_given_by_the_users_labels():
    x, y = examples()
    problem = loading.from_arrays(x, np.array([5, 7, 70])[y], class_weight={70: 2.0, 5: 1.0})
    assert problem.class_weight == {2: 2.0, 0: 1.0}
    for bad, message in [({9: 1.0}, "the label 9"), ({5: -1.0}, "at least 0")]:
        with pytest.raises(ValueError, match=message):
            loading.from_arrays(x, np.array([5, 7, 70])[y], class_weight=bad)
    with pytest.raises(ValueError, match="is for classification"):
        loading.from_arrays(x, x[:, 0], class_weight={0: 1.0})


def test_the_kind_can_be_told():
    x, y = examples()
    assert loading.from_arrays(x, y, kind="regression").kind == "regression"
    assert loading.from_arrays(x, np.arange(60.0) % 3 + 1, kind="classification").class_names == (
        "1",
        "2",
        "3",
    )
    with pytest.raises(ValueError, match="targets are texts"):
        loading.from_arrays(x, y.astype(str), kind="regression")


def test_bad_arrays_are_refused():
    x, y = examples()
    sparse = type("csr_matrix", (), {"toarray": lambda self: None})()
    for bad_x, bad_y, message in [
        (np.where(x > 9, np.nan, x), y, "NaN"),
        (x, y[:-1], "60 examples in `x` but 59"),
        (np.full(x.shape, None), y, "dtype object"),
        (x, np.zeros(60, int), "only one class"),
        (x, np.where(y == 1, 3, y), "1 have no example"),
        (x, y - 1, "label -1"),
        (x[:0], y[:0], "empty"),
        (x[:, :0], y, "no features"),
        (x[:6], y[:6], "too few to split"),
        (sparse, y, "sparse"),
        ([[1], [1, 2]], [0, 1], "ragged"),
        (x, None, "must be"),
        (x, np.full(60, 0.5), "constant .0.5."),
    ]:
        with pytest.raises(ValueError, match=message) as error:
            loading.from_arrays(bad_x, bad_y)
        assert "\n" not in str(error.value)
    for bad_x, message in [(x[:, 0], "rank 1"), (x.astype(str), "dtype <U")]:
        with pytest.raises(ValueError, match=message):
            loading.from_arrays(bad_x, y, prepare=True)
    with pytest.raises(ValueError, match="`x` has rank 5; built-in"):
        loading.from_arrays(x.reshape(60, 2, 2, 1, 1), y, prepare=True)
    with pytest.raises(ValueError, match="validation part have the shapes"):
        loading.from_arrays(x, y, validation_data=(x[:, :3], y))
    with pytest.raises(ValueError, match="validation part .* no class of the training part: 3"):
        loading.from_arrays(x, y, validation_data=(x, y + 1))


def test_importing_the_room_does_not_import_tensorflow():
    import subprocess

    code = (
        "import sys, kerastune.data; "
        "sys.exit('tensorflow' in sys.modules or 'sklearn' in sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=loading.__file__.rsplit("/kerastune/", 1)[0]
    )
