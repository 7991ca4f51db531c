"""Every kind of source becomes a checked, cut and prepared task, or is refused in one line."""

import gzip
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerastune import data, preflight
from kerastune.task import labels


def dense(num_features, num_outputs):
    return keras.Sequential([keras.Input((num_features,)), keras.layers.Dense(num_outputs)])


def reloaded(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return keras.models.load_model(tmp_path / "model.keras")


def examples(num_examples=60, num_classes=3, seed=0):
    y = np.arange(num_examples) % num_classes
    return np.random.default_rng(seed).normal(5.0, 2.0, (num_examples, 4)), y


def refused(message, source, error=ValueError, **options):
    with pytest.raises(error, match=message) as caught:
        data.load(str(source), **options)
    assert "\n" not in str(caught.value)


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    """An empty current folder, from which modules can be imported and forgotten again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("own_"):
            del sys.modules[name]


# Names.


def test_digits_are_the_default_cut_and_standardised_on_the_training_part():
    task = data.load()
    preflight.check(task, 64)
    assert (len(task.train), len(task.validation), len(task.test)) == (1298, 229, 270)
    assert task.train.x.shape[1:] == (8, 8, 1) and task.num_classes == 10
    assert abs(task.train.x.mean()) < 1e-5 and abs(task.train.x.std() - 1) < 1e-5
    assert abs(task.validation.x.mean()) > 1e-5
    assert any("270 of 1797" in note and "test part" in note for note in task.notes)


def test_the_saved_model_takes_raw_digits(tmp_path):
    from sklearn.datasets import load_digits

    task = data.load("digits", seed=3)
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    raw = load_digits().images
    prepared = task.test.x
    outputs = np.asarray(reloaded(task.attach(model), tmp_path)(raw))
    for expected in np.asarray(model(prepared))[:20]:
        assert np.abs(outputs - expected).max(axis=1).min() < 1e-5


def test_cuts_depend_on_the_seed_only():
    first, again, other = (data.load("iris", seed=seed) for seed in (1, 1, 2))
    assert (first.test.x == again.test.x).all() and (first.validation.x == again.validation.x).all()
    assert first.test.x.shape != other.test.x.shape or (first.test.x != other.test.x).any()
    assert first.class_names == ("setosa", "versicolor", "virginica")


def test_ones_own_model_gets_its_data_as_they_are_unless_asked():
    as_is = data.load("digits", for_own_model=True)
    assert as_is.attach is None and as_is.train.x.shape[1:] == (8, 8) and as_is.train.x.max() == 16
    standardised = data.load("digits", for_own_model=True, standardise=True)
    assert standardised.train.x.shape[1:] == (8, 8) and abs(standardised.train.x.mean()) < 1e-5
    assert standardised.attach is not None
    assert data.load("digits", standardise=False).train.x.max() == 16


def test_regression_is_standardised_and_given_back_in_the_users_units(tmp_path):
    task = data.load("diabetes")
    assert task.kind == "regression" and task.class_names == ()
    assert abs(task.train.y.mean()) < 1e-5 and abs(task.train.y.std() - 1) < 1e-5
    x = np.random.default_rng(0).random((100, 4)).astype("float32")
    y = 300.0 + 50 * x.sum(axis=1)
    task = data.from_arrays(x, y, validation_data=(x, y))
    np.testing.assert_allclose(task.validation.y * task.target_scale + task.target_mean, y, rtol=1e-5)
    model = dense(4, 1)
    attached = reloaded(task.attach(model), tmp_path)
    np.testing.assert_allclose(attached(x), model(x) * task.target_scale + task.target_mean, rtol=1e-5)


def test_unknown_names_and_texts_are_refused():
    refused("did you mean digits", "digit")
    refused("known names are", "xyz")
    refused("texts of different lengths", "imdb")
    refused("`--label` .* leave it out", "digits", label="y")
    refused("`seed` must be at least 0", "iris", seed=-1)
    refused("`kind` must be", "iris", kind="ranking")


def write_idx(path, array):
    with gzip.open(path, "wb") as file:
        file.write(bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes())


def test_fashion_mnist_is_read_from_debians_package(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "DEBIAN_FASHION_MNIST", tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (40, 28, 28)).astype("uint8")
    classes = (np.arange(40) % 10).astype("uint8")
    for part in ("train", "t10k"):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", classes)
    task = data.load("fashion_mnist", for_own_model=True)
    assert (task.test.x == images).all() and (task.test.y == classes).all()
    assert (len(task.train), len(task.validation), task.class_names[9]) == (34, 6, "boot")
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    refused("apt install dataset-fashion-mnist", "fashion_mnist", FileNotFoundError)


def test_a_failing_download_is_one_line_with_the_package_that_helps(tmp_path, monkeypatch):
    def fail():
        raise Exception("URL fetch failure\nand more")

    monkeypatch.setattr(data, "DEBIAN_FASHION_MNIST", tmp_path / "none")
    monkeypatch.setattr(keras.datasets.fashion_mnist, "load_data", fail)
    refused(r"\(URL fetch failure\).*apt install dataset-fashion-mnist", "fashion_mnist", FileNotFoundError)


# .npz


def test_an_npz_with_all_parts_is_not_cut(tmp_path):
    x, y = examples()
    path = tmp_path / "own.npz"
    np.savez(path, x_train=x, y_train=y, x_val=x[:9], y_val=y[:9], x_test=x[:6], y_test=y[:6],
             sample_weight_train=np.ones(60), extra=x)  # fmt: skip
    task = data.load(str(path), for_own_model=True)
    assert (len(task.train), len(task.validation), len(task.test), task.name) == (60, 9, 6, "own")
    assert task.train.sample_weight.shape == (60,)
    assert any("extra" in note for note in task.notes) and not any("cut" in note for note in task.notes)


def test_an_npz_with_inputs_by_name_gives_a_dict(tmp_path):
    x, y = examples()
    np.savez(tmp_path / "own.npz", **{"x_train/a": x, "x_train/b": x[:, 0], "y_train": y})
    task = data.load(str(tmp_path / "own.npz"))
    assert {name: array.shape[1:] for name, array in task.train.x.items()} == {"a": (4,), "b": (1,)}
    assert set(task.attach.preparation.inputs()) == {"a", "b"}


def test_an_npz_that_is_none_or_holds_objects_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "own.npz"
    x, y = examples()
    refused("There is no file", path, FileNotFoundError)
    path.write_text("no zip")
    refused("not a .npz file", path)
    np.savez(path, x_train=np.array([{}], object), y_train=y)
    refused("never unpickled", path)
    np.savez(path, X=x)
    refused("no `x_train`; its arrays are: X", path)
    np.savez(path, x_train=x)
    refused("only one of `x_train` and `y_train`", path)
    np.savez(path, x_train=x, y_train=y)
    monkeypatch.setattr(preflight, "available_memory", lambda: 100)
    refused("own.npz needs about .* larger than memory", path)


# .csv

ROWS = [f"{age},{city},{age * 2 + 0.5},{'yes' if age % 3 else 'no'}" for age, city in
        zip(range(20, 60), ["Rome", "Bonn", "", "Oslo"] * 10, strict=True)]  # fmt: skip


def write_csv(folder, rows=ROWS, header="age,city,income (k),buys"):
    path = folder / "people.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_a_csv_with_texts_and_gaps_is_encoded_and_travels_with_the_model(tmp_path):
    rows = [row.replace("30,", ",", 1) if row.startswith("30,") else row for row in ROWS]
    task = data.load(str(write_csv(tmp_path, rows)), label="buys")
    preflight.check(task, 8)
    assert task.class_names == ("no", "yes") and task.train.x.shape[1:] == (2 + 4,)
    assert any("city (4)" in note for note in task.notes) and any("age (1)" in note for note in task.notes)
    model = dense(6, 2)
    attached = reloaded(task.attach(model), tmp_path)
    raw = {
        "age": np.array([[30.0], [np.nan]]),
        "city": np.array([["Rome"], ["Paris"]]),
        "income__k_": np.array([[60.5], [9.0]]),
    }
    columns = {"age": raw["age"][:, 0], "city": raw["city"][:, 0], "income (k)": raw["income__k_"][:, 0]}
    prepared = task.attach.preparation.apply(columns)
    outputs = attached({name: tf.constant(column) for name, column in raw.items()})
    np.testing.assert_allclose(outputs, model(prepared), atol=1e-5)


def test_a_csv_for_ones_own_model_is_encoded_but_not_scaled(tmp_path):
    task = data.load(str(write_csv(tmp_path)), label="buys", for_own_model=True)
    assert task.train.x.shape[1:] == (6,) and task.train.x[:, 0].min() >= 20


@pytest.mark.parametrize(("label", "kind"), [("income (k)", "regression"), ("age", "regression")])
def test_a_numeric_label_with_many_values_is_a_regression(tmp_path, label, kind):
    assert data.load(str(write_csv(tmp_path)), label=label).kind == kind


def test_a_numeric_label_with_few_whole_values_is_a_class_unless_told_otherwise(tmp_path):
    rows = [f"{number},{number % 3 + 1}" for number in range(30)]
    path = write_csv(tmp_path, rows, "x,stars")
    assert data.load(str(path), label="stars").class_names == ("1", "2", "3")
    assert data.load(str(path), label="stars", kind="regression").kind == "regression"


@pytest.mark.parametrize(
    ("rows", "header", "label", "message"),
    [
        (["1,2"] * 20, "a,b", "price", r"`--label` \('price'\) is not a column of .*; its columns are: a, b\."),
        (["1,2"] * 20, "a,b", "", "its columns are: a, b"),
        (["1"] * 20, "a", "a", "no column besides 'a'"),
        (["1,2", "1"] * 20, "a,b", "a", "Row 2 of .* has 1 cells, expected 2"),
        (["1,2"] * 20, "a,a", "a", "different names"),
        ([], "a,b", "a", "1 rows; expected a header"),
        (["1,yes", "2,"] * 20, "a,b", "b", "no 'b' in 20 rows, first in row 2"),
        ([f"1,name {n}" for n in range(20)], "a,b", "a", "Column 'b' .* 20 different values in 20 rows, .*'name 0'"),
        ([f"1,t{n // 2}" for n in range(300)], "a,b", "a", "Column 'b' .* text with 150 different values"),
        (["1,NA"] * 20, "a,b", "a", "Column 'b' .* is empty"),
        (["1,2", "1,inf"] * 20, "a,b", "a", "Column 'b' .* 20 values that are NaN or infinite"),
        (["1,2", "1,inf"] * 20, "a,b", "b", "`y` of the training part has 20 values"),
        (['1,"2'] * 20, "a,b", "a", "cannot be read as comma-separated"),
        (["1,-1", "2,1"] * 20, "a,b", "b", "label -1"),
        (["1,x"] * 20, "a,b", "b", "only one class"),
    ],
)
def test_a_csv_that_cannot_be_used_is_refused(tmp_path, rows, header, label, message):
    refused(message, write_csv(tmp_path, rows, header), label=label)


def test_a_csv_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "latin.csv"
    path.write_bytes("a,b\n1,ä\n".encode("latin-1"))
    refused("UTF-8", path, label="a")


# Folders of images.


def write_images(folder, classes, count=12):
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            pixels = np.full((6, 5, 3), 40 * number + index, "uint8")
            keras.utils.save_img(folder / name / f"{index}.png", pixels, scale=False)


def test_class_folders_of_images_are_read_resized_and_cut(tmp_path):
    write_images(tmp_path / "pets", ["cat", "dog"])
    task = data.load(str(tmp_path / "pets"), image_size=7, for_own_model=True)
    assert task.class_names == ("cat", "dog") and task.name == "pets"
    assert task.train.x.shape[1:] == (7, 7, 3) and task.train.x.dtype == np.uint8
    assert (len(task.train), len(task.validation), len(task.test)) == (17, 3, 4)
    assert ((task.train.x[:, 0, 0, 0] >= 40) == (task.train.y == 1)).all()


def test_folders_of_parts_are_kept_apart(tmp_path):
    write_images(tmp_path / "train", ["cat", "dog"])
    write_images(tmp_path / "val", ["dog"], 2)
    task = data.load(str(tmp_path), image_size=4)
    assert task.validation.y.tolist() == [1, 1] and len(task.train) + len(task.test) == 24
    assert any("validation part: cat" in note for note in task.notes)


def test_folders_that_cannot_be_used_are_refused(tmp_path, monkeypatch):
    refused("no class folders", tmp_path)
    write_images(tmp_path / "train", ["cat", "dog"])
    refused("image_size", tmp_path, image_size=0)
    write_images(tmp_path / "test", ["cow"], 1)
    refused("the training part has not: cow", tmp_path)
    (tmp_path / "train" / "dog" / "1.png").write_text("no image")
    refused("1.png cannot be read as an image", tmp_path / "train")
    (tmp_path / "train" / "empty").mkdir()
    (tmp_path / "train" / "dog" / "1.png").unlink()
    refused("no example in the training part .empty", tmp_path / "train")
    monkeypatch.setattr(preflight, "available_memory", lambda: 1000)
    refused("23 images.* larger than memory", tmp_path / "train")


# module:function


def write_module(folder, body):
    name = f"own_{folder.name}".replace("-", "_")
    (folder / f"{name}.py").write_text(
        "import numpy as np\nx, y = np.random.default_rng(0).random((40, 3)), np.arange(40) % 2\n"
        f"def make():\n    {body}\nnumber = 3\n"
    )
    return name


@pytest.mark.parametrize(
    ("body", "lengths"),
    [
        ("return x, y", (29, 5, 6)),
        ("return x, y, np.ones(40)", (29, 5, 6)),
        ("return (x, y), (x[:8], y[:8])", (34, 6, 8)),
        ("return (x, y), (x[:7], y[:7]), (x[:8], y[:8])", (40, 7, 8)),
        ("return {'train': (x, y), 'validation': (x[:7], y[:7], y[:7] + 1)}", (34, 7, 6)),
    ],
)
def test_a_function_of_the_current_folder_gives_arrays(in_folder, body, lengths):
    task = data.load(f"{write_module(in_folder, body)}:make")
    assert (len(task.train), len(task.validation), len(task.test)) == lengths


def test_functions_that_cannot_be_used_are_refused(in_folder):
    name = write_module(in_folder, "return {'x': x}")
    refused("no module own_nowhere", "own_nowhere:make", ImportError)
    refused("no module own_nowhere.deep", "own_nowhere.deep:make", ImportError)
    refused("has no function `made`", f"{name}:made", ImportError)
    refused("has no function `number`", f"{name}:number", ImportError)
    refused("gave a dict with x; expected", f"{name}:make")


def test_a_module_that_a_users_module_needs_is_named_by_python_itself(in_folder):
    (in_folder / "own_needs.py").write_text("import own_missing_dependency\n")
    with pytest.raises(ModuleNotFoundError, match="No module named 'own_missing_dependency'"):
        data.load("own_needs:make")


# tf.data


def dataset(x, y, *weight):
    return tf.data.Dataset.from_tensor_slices((x, y, *weight))


@pytest.mark.parametrize("batch", [0, 8])
def test_a_dataset_becomes_a_stream_of_prepared_single_examples(batch):
    x, y = examples()
    stream = dataset(x, y).batch(batch) if batch else dataset(x, y)
    task = data.from_arrays(stream, validation_data=dataset(x, y).batch(7), prepare=True)
    arrays = data.from_arrays(x, y, validation_data=(x, y), prepare=True)
    assert task.train is None and len(task.stream) == 60 and task.class_names == ("0", "1", "2")
    streamed = list(task.stream.as_numpy_iterator())
    np.testing.assert_allclose(np.stack([x for x, _ in streamed]), arrays.train.x, atol=1e-5)
    assert [int(y) for _, y in streamed] == arrays.train.y.tolist()
    np.testing.assert_allclose(task.validation.x, arrays.validation.x, atol=1e-5)
    preflight.check(task, 60)
    with pytest.raises(ValueError, match="larger than the training part"):
        preflight.check(task, 61)


def test_a_dataset_for_ones_own_model_stays_as_it_is():
    x, y = examples()
    task = data.from_arrays(dataset(x, np.eye(3)[y]).batch(8, drop_remainder=True), validation_data=(x, np.eye(3)[y]))
    first_x, first_y = next(iter(task.stream.as_numpy_iterator()))
    assert (first_x == x[0]).all() and (first_y == np.eye(3)[0]).all() and task.attach is None


def test_one_hot_rows_of_a_dataset_are_numbered_for_built_in_models():
    x, y = examples()
    x = x[:, :3]  # as many features as classes: still single examples
    task = data.from_arrays(dataset(x, np.eye(3)[y]), validation_data=(x, np.eye(3)[y]), prepare=True)
    assert [int(y) for _, y in task.stream.as_numpy_iterator()] == y.tolist() == task.validation.y.tolist()


def test_dict_inputs_images_and_weights_of_a_dataset_are_prepared_as_arrays():
    x = {"a": np.arange(20.0), "b": np.random.default_rng(0).random((20, 3, 3))}
    y, weight = np.linspace(100, 200, 20), np.ones(20)
    task = data.from_arrays(dataset(x, y, weight), validation_data=(x, y, weight), prepare=True)
    streamed = list(task.stream.as_numpy_iterator())
    for name in x:
        np.testing.assert_allclose([x[name] for x, _, _ in streamed], task.validation.x[name], atol=1e-5)
    np.testing.assert_allclose([y for _, y, _ in streamed], task.validation.y, atol=1e-6)
    assert abs(task.validation.y.mean()) < 1e-6 and streamed[0][2] == 1


def test_datasets_that_cannot_be_used_are_refused(monkeypatch):
    x, y = examples()
    good, nan = dataset(x, y), np.where(np.arange(60)[:, None] == 55, np.nan, x)
    ragged = tf.data.Dataset.from_generator(
        lambda: iter([]), output_signature=(tf.TensorSpec((None, 2)), tf.TensorSpec((), tf.int64))
    )
    for train, validation, message in [
        (good, None, "cannot be cut"),
        (good.repeat(), good, "training part never ends"),
        (good.batch(4).repeat().map(lambda x, y: (x, y)), good, "never ends"),
        (good, good.repeat(), "validation part never ends"),
        (ragged, good, "different shapes"),
        (good.take(0), good, "is empty"),
        (dataset(nan, y), good, "`x` of the training part has 4 values that are NaN"),
        (dataset(x[:, :3], y), good, "have the shapes"),
        (dataset(x, y * 10), dataset(x, y * 10), "must run from 0 on, got 0, 10, 20"),
        (dataset(x, y.astype(str)), good, "dense numeric"),
        (tf.data.Dataset.from_tensor_slices(x), good, r"must give \(x, y\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            data.from_arrays(train, validation_data=validation)
    with pytest.raises(ValueError, match="leave them out"):
        data.from_arrays(good, y, validation_data=good)
    monkeypatch.setattr(preflight, "available_memory", lambda: 100)
    with pytest.raises(ValueError, match="validation part is larger than memory"):
        data.from_arrays(good, validation_data=good)


# Arrays.


def test_arrays_are_cut_for_validation_only_and_left_alone():
    x, y = examples()
    task = data.from_arrays(x, y, sample_weight=np.arange(60.0))
    assert task.test is None and len(task.validation) == 9 and task.attach is None
    assert np.bincount(labels(task.validation.y)).tolist() == [3, 3, 3]
    for part in (task.train, task.validation):
        assert (x[part.sample_weight.astype(int)] == part.x).all() and (part.sample_weight % 3 == part.y).all()


def test_one_hot_stays_for_ones_own_model_and_becomes_integers_for_built_in_ones():
    x, y = examples()
    assert data.from_arrays(x, np.eye(3)[y]).train.y.shape == (51, 3)
    assert data.from_arrays(x, np.eye(3)[y], prepare=True).train.y.ndim == 1
    assert data.from_arrays(x, y[:, None], prepare=True).train.y.ndim == 1


def test_labels_of_any_kind_are_numbered_and_named():
    x, y = examples()
    for values, names in [
        (np.array(["low", "mid", "top"]), ("low", "mid", "top")),
        (np.array([5, 7, 70]), ("5", "7", "70")),
        (np.array([False, True, True]), ("False", "True")),
    ]:
        task = data.from_arrays(x, values[y])
        assert task.class_names == names
        assert [names[label] for label in task.train.y] == [str(v) for v in values[labels_of(task, x, y)]]


def labels_of(task, x, y):
    """Labels of the training examples, found by their inputs."""
    return [y[np.flatnonzero((x == row).all(axis=1))[0]] for row in task.train.x]


def test_class_weights_are_given_by_the_users_labels():
    x, y = examples()
    task = data.from_arrays(x, np.array([5, 7, 70])[y], class_weight={70: 2.0, 5: 1.0})
    assert task.class_weight == {2: 2.0, 0: 1.0}
    for bad, message in [({9: 1.0}, "the label 9"), ({5: -1.0}, "at least 0")]:
        with pytest.raises(ValueError, match=message):
            data.from_arrays(x, np.array([5, 7, 70])[y], class_weight=bad)
    with pytest.raises(ValueError, match="is for classification"):
        data.from_arrays(x, x[:, 0], class_weight={0: 1.0})


def test_the_kind_can_be_told():
    x, y = examples()
    assert data.from_arrays(x, y, kind="regression").kind == "regression"
    assert data.from_arrays(x, np.arange(60.0) % 3 + 1, kind="classification").class_names == ("1", "2", "3")
    with pytest.raises(ValueError, match="targets are texts"):
        data.from_arrays(x, y.astype(str), kind="regression")


def test_bad_arrays_are_refused():
    x, y = examples()
    sparse = type("csr_matrix", (), {"toarray": lambda self: None})()
    for bad_x, bad_y, message in [
        (np.where(x > 9, np.nan, x), y, "NaN"),
        (x, y[:-1], "60 examples in `x` but 59"),
        (x[:, 0], y, "rank 1"),
        (x.astype(object), y, "dtype object"),
        (x.astype(str), y, "dtype <U"),
        (x, np.zeros(60, int), "only one class"),
        (x, np.where(y == 1, 3, y), "1 have no example"),
        (x, y - 1, "label -1"),
        (x[:0], y[:0], "empty"),
        (x[:, :0], y, "no features"),
        (x[:6], y[:6], "too few to cut"),
        (sparse, y, "sparse"),
        ([[1], [1, 2]], [0, 1], "ragged"),
        (x, None, "must be"),
        (x, np.full(60, 0.5), "always 0.5"),
    ]:
        with pytest.raises(ValueError, match=message) as error:
            data.from_arrays(bad_x, bad_y)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="`x` has rank 5; built-in"):
        data.from_arrays(x.reshape(60, 2, 2, 1, 1), y, prepare=True)
    with pytest.raises(ValueError, match="validation part have the shapes"):
        data.from_arrays(x, y, validation_data=(x[:, :3], y))
    with pytest.raises(ValueError, match="validation part .* no class of the training part: 3"):
        data.from_arrays(x, y, validation_data=(x, y + 1))


def test_importing_the_room_does_not_import_tensorflow():
    import subprocess

    code = "import sys, kerastune.data; sys.exit('tensorflow' in sys.modules or 'sklearn' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=data.__file__.rsplit("/kerastune/", 1)[0])
