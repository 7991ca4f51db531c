"""Every kind of source is read, or refused in one line."""

import gzip
import sys

import keras
import numpy as np
import pytest

from kerastune.data import loading, memory
from kerastune.data.readers import named_sets


def examples(num_examples=60, num_classes=3, seed=0):
    y = np.arange(num_examples) % num_classes
    return np.random.default_rng(seed).normal(5.0, 2.0, (num_examples, 4)), y


def refused(message, source, error=ValueError, **options):
    with pytest.raises(error, match=message) as caught:
        loading.load(str(source), **options)
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


def test_unknown_names_and_texts_are_refused():
    refused("did you mean `digits`", "digit")
    refused("known names are", "xyz")
    refused("texts of different lengths", "imdb")
    refused("`label` .* leave it out", "digits", label="y")


def write_idx(path, array):
    with gzip.open(path, "wb") as file:
        file.write(
            bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes()
        )


def test_fashion_mnist_is_read_from_debians_package(tmp_path, monkeypatch):
    monkeypatch.setattr(named_sets, "DEBIAN_FASHION_MNIST", tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (40, 28, 28)).astype("uint8")
    classes = (np.arange(40) % 10).astype("uint8")
    for part in ("train", "t10k"):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", classes)
    problem = loading.load("fashion_mnist", for_own_model=True)
    assert (problem.test.x == images).all() and (problem.test.y == classes).all()
    assert (len(problem.train), len(problem.validation), problem.class_names[9]) == (34, 6, "boot")
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    refused("apt install dataset-fashion-mnist", "fashion_mnist", FileNotFoundError)


def test_a_failing_download_is_one_line_with_the_package_that_helps(tmp_path, monkeypatch):
    def fail():
        raise Exception("URL fetch failure\nand more")

    monkeypatch.setattr(named_sets, "DEBIAN_FASHION_MNIST", tmp_path / "none")
    monkeypatch.setattr(keras.datasets.fashion_mnist, "load_data", fail)
    refused(
        r"\(URL fetch failure\).*apt install dataset-fashion-mnist",
        "fashion_mnist",
        FileNotFoundError,
    )


# .npz


def test_an_npz_with_all_parts_is_not_cut(tmp_path):
    x, y = examples()
    path = tmp_path / "own.npz"
    np.savez(
        path,
        x_train=x,
        y_train=y,
        x_val=x[:9],
        y_val=y[:9],
        x_test=x[:6],
        y_test=y[:6],
        sample_weight_train=np.ones(60),
        extra=x,
    )
    problem = loading.load(str(path), for_own_model=True)
    assert (len(problem.train), len(problem.validation), len(problem.test), problem.name) == (
        60,
        9,
        6,
        "own",
    )
    assert problem.train.sample_weight.shape == (60,)
    assert any("extra" in note for note in problem.notes) and not any(
        "cut" in note for note in problem.notes
    )


def test_an_npz_with_inputs_by_name_gives_a_dict(tmp_path):
    x, y = examples()
    np.savez(tmp_path / "own.npz", **{"x_train/a": x, "x_train/b": x[:, 0], "y_train": y})
    problem = loading.load(str(tmp_path / "own.npz"))
    assert {name: array.shape[1:] for name, array in problem.train.x.items()} == {
        "a": (4,),
        "b": (1,),
    }
    assert set(problem.attach.preparation.inputs()) == {"a", "b"}


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
    monkeypatch.setattr(memory, "available", lambda: 100)
    refused("own.npz needs about .* larger than memory", path)


# Folders of images.


def write_images(folder, classes, count=12):
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            pixels = np.full((6, 5, 3), 40 * number + index, "uint8")
            keras.utils.save_img(folder / name / f"{index}.png", pixels, scale=False)


def test_class_folders_of_images_are_read_resized_and_cut(tmp_path):
    write_images(tmp_path / "pets", ["cat", "dog"])
    problem = loading.load(str(tmp_path / "pets"), image_size=7, for_own_model=True)
    assert problem.class_names == ("cat", "dog") and problem.name == "pets"
    assert problem.train.x.shape[1:] == (7, 7, 3) and problem.train.x.dtype == np.uint8
    assert (len(problem.train), len(problem.validation), len(problem.test)) == (17, 3, 4)
    assert ((problem.train.x[:, 0, 0, 0] >= 40) == (problem.train.y == 1)).all()


def test_folders_of_parts_are_kept_apart(tmp_path):
    write_images(tmp_path / "train", ["cat", "dog"])
    write_images(tmp_path / "val", ["dog"], 2)
    problem = loading.load(str(tmp_path), image_size=4)
    assert problem.validation.y.tolist() == [1, 1] and len(problem.train) + len(problem.test) == 24
    assert any("validation part: cat" in note for note in problem.notes)


def test_folders_that_cannot_be_used_are_refused(tmp_path, monkeypatch):
    refused("no class folders", tmp_path)
    write_images(tmp_path / "train", ["cat", "dog"])
    refused("image_size", tmp_path, image_size=0)
    write_images(tmp_path / "test", ["cow"], 1)
    refused("the training part does not have: cow", tmp_path)
    (tmp_path / "train" / "dog" / "1.png").write_text("no image")
    refused("1 images can.t be read: .*1.png is no image of a known format", tmp_path / "train")
    (tmp_path / "train" / "empty").mkdir()
    (tmp_path / "train" / "dog" / "1.png").unlink()
    refused("no example in the training part .empty", tmp_path / "train")
    monkeypatch.setattr(memory, "available", lambda: 1000)
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
    problem = loading.load(f"{write_module(in_folder, body)}:make")
    assert (len(problem.train), len(problem.validation), len(problem.test)) == lengths


def test_functions_that_cannot_be_used_are_refused(in_folder):
    name = write_module(in_folder, "return {'x': x}")
    refused("no module `own_nowhere`", "own_nowhere:make")
    refused("no module `own_nowhere.deep`", "own_nowhere.deep:make")
    refused("has no `made`; did you mean `make`", f"{name}:made")
    refused("number` is not a function", f"{name}:number")
    refused("returned a dict with x; expected", f"{name}:make")


def test_a_module_that_a_users_module_needs_is_named_by_python_itself(in_folder):
    (in_folder / "own_needs.py").write_text("import own_missing_dependency\n")
    with pytest.raises(ModuleNotFoundError, match="No module named 'own_missing_dependency'"):
        loading.load("own_needs:make")
