import sys

import keras
import keras_tuner
import numpy as np
import pytest

from kerastune.models import hypermodels
from kerastune.problem import Part, Problem


def _problem(shape, num_classes=10, kind="classification", y=None, stream=None):
    y = np.zeros(shape[0], int) if y is None else y
    part = Part(np.zeros(shape, "float32"), y)
    names = tuple(str(each) for each in range(num_classes)) if kind == "classification" else ()
    return Problem("toy", kind, None if stream else part, part, class_names=names, stream=stream)


def _built(name, problem, **values):
    hp = keras_tuner.HyperParameters()
    for key, value in values.items():
        hp.Fixed(key, value)
    return hypermodels.load(name, problem).build(hp)


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each not in ("", str(tmp_path))])

    def write(name, text):
        (tmp_path / f"{name}.py").write_text("import keras\nimport keras_tuner\n" + text)
        monkeypatch.delitem(sys.modules, name, raising=False)

    return write


@pytest.mark.parametrize(
    ("num_examples", "units"), [(96, 32), (1200, 128), (55_000, 256), (1, 32), (10**6, 256)]
)
def test_hidden_layers_are_as_wide_as_the_data_warrants(num_examples, units):
    assert hypermodels.hidden_units(num_examples) == units


def test_mlp_defaults_to_three_hidden_layers_sized_from_the_data():
    model = _built("mlp", _problem([1200, 8, 8, 1]))
    assert [layer.units for layer in model.layers if hasattr(layer, "units")] == [128, 128, 128, 10]


@pytest.mark.parametrize(
    ("x", "embedded"),
    [
        (np.stack([np.arange(40) % 2, np.arange(40)], 1).astype("float32"), 1),  # a flag, a number
        (np.arange(80).reshape(40, 2), 0),  # numbers of categories
        (np.random.default_rng(1).random((40, 101)).astype("float32"), 0),  # pixels or words
        (np.random.default_rng(1).random((40, 5, 5)).astype("float32"), 0),
    ],
)
def test_mlp_embeds_the_numbers_of_a_table(x, embedded):
    part = Part(x, np.arange(40.0))
    problem = Problem("toy", "regression", part, part)
    model = _built("mlp", problem)
    assert [kernel.shape[0] for kernel in _embeddings(model)] == [embedded] * bool(embedded)
    assert not _embeddings(_built("mlp", problem, embed_numbers=False))


@pytest.mark.parametrize(
    ("count", "columns", "bins"), [(2000, 2, 48), (2000, 10, 20), (2000, 21, 0), (1999, 2, 0)]
)
def test_numbers_have_bins_where_there_are_examples_for_them(count, columns, bins):
    x = np.random.default_rng(1).random((count, columns)).astype("float32")
    part = Part(x, np.arange(float(count)))
    found = hypermodels.load("mlp", Problem("toy", "regression", part, part)).columns.edges
    assert [len(each) - 1 for each in found] == [bins] * columns * bool(bins)


def test_bins_are_those_of_all_of_a_sorted_table_and_too_large_numbers_have_none():
    x = np.arange(50_000, dtype="float32")[:, None]
    edges = []
    for scaled in (x, 1e20 * x):
        part = Part(scaled, np.arange(5e4))
        problem = Problem("toy", "regression", part, part)
        edges.append(hypermodels.load("mlp", problem).columns.edges)
    assert edges[0][0][24] == pytest.approx(25_000, rel=0.01) and edges[1] == ()


def test_a_number_that_is_mostly_zero_has_few_bins():
    x = np.concatenate([np.zeros(1900), np.arange(100)]).astype("float32")[:, None]
    part = Part(x, np.arange(2000.0))
    ((first, second, *_, last),) = hypermodels.load(
        "mlp", Problem("toy", "regression", part, part)
    ).columns.edges
    assert (first, last) == (0, 99) and second > 0


def _embeddings(model):
    kernels = [each.kernel for each in model.layers if isinstance(each, keras.layers.EinsumDense)]
    return [kernel for kernel in kernels if kernel.ndim == 3]


def test_cnn_defaults_to_the_network_the_benchmark_names():
    assert _built("cnn", _problem([9, 28, 28, 1])).count_params() == 105_866


@pytest.mark.parametrize(("side", "blocks"), [(8, 1), (28, 2), (64, 3)])
def test_resnet_is_deeper_for_larger_images(side, blocks):
    model = _built("resnet", _problem([9, side, side, 1]))
    assert sum(isinstance(layer, keras.layers.Add) for layer in model.layers) == 3 * blocks


def test_hyperparameters_reach_the_networks():
    mlp = _built("mlp", _problem([99, 5]), units=64, layers=1)
    assert [layer.units for layer in mlp.layers if hasattr(layer, "units")] == [64, 10]
    cnn = _built(
        "cnn", _problem([9, 8, 8, 1]), filters=8, dense_units=32, deeper=True, batch_norm=True
    )
    assert sum(isinstance(each, keras.layers.Conv2D) for each in cnn.layers) == 4
    assert sum(isinstance(each, keras.layers.BatchNormalization) for each in cnn.layers) == 4
    assert (
        cnn.layers[1].filters == 8
        and [each.units for each in cnn.layers if hasattr(each, "units")][0] == 32
    )
    resnet = _built("resnet", _problem([9, 8, 8, 1]), blocks=2, width=8)
    assert (
        resnet.layers[1].filters == 8
        and sum(isinstance(each, keras.layers.Add) for each in resnet.layers) == 6
    )


def test_few_hyperparameters_are_declared():
    declared = {}
    for name in set(hypermodels.BUILT_IN) - {"text"}:
        hp = keras_tuner.HyperParameters()
        shape = [9, 50, 3] if name == "series" else [9, 8, 8, 1]
        hypermodels.load(name, _problem(shape)).build(hp)
        declared[name] = sorted(hp.values)
    cnn = ["batch_norm", "deeper", "dense_units", "filters"]
    assert declared == {
        "mlp": ["layers", "units"],
        "cnn": cnn,
        "resnet": ["blocks", "width"],
        "series": ["filters"],
    }


@pytest.mark.parametrize(
    ("y", "outputs"), [(np.zeros(9), 1), (np.zeros([9, 1]), 1), (np.zeros([9, 4]), 4)]
)
def test_regression_has_one_linear_output_for_every_target(y, outputs):
    model = _built("mlp", _problem([9, 5], kind="regression", y=y))
    assert model.output_shape == (None, outputs)
    assert model.layers[-1].activation is keras.activations.linear


def test_a_dict_of_inputs_suits_the_mlp_only():
    part = Part({"a": np.zeros([9, 8, 8]), "b": np.zeros([9])}, np.zeros(9))
    problem = Problem("toy", "regression", part, part)
    assert _built("mlp", problem).layers[-1].output.shape == (None, 1)
    with pytest.raises(ValueError, match="^`cnn` takes"):
        hypermodels.load("cnn", problem)


@pytest.mark.parametrize("name", ["cnn", "resnet"])
def test_a_table_is_refused_before_anything_is_built(name):
    with pytest.raises(ValueError, match=f"^`{name}` takes images.*shape \\[13\\]; use `mlp`.$"):
        hypermodels.load(name, _problem([9, 13]))


@pytest.mark.parametrize(("size", "units"), [(1200, 128), (-1, 256), (-2, 256)])
def test_a_stream_sizes_the_mlp_by_its_length_if_that_is_known(size, units):
    class Stream:
        def cardinality(self):
            return np.int64(size)

    assert hypermodels.load("mlp", _problem([50, 4], stream=Stream())).default_units == units


def test_an_unknown_name_lists_the_known_ones_and_guesses():
    with pytest.raises(
        ValueError,
        match="^model `cmn` must be one of mlp, cnn, resnet, series, text .*did you mean `cnn`",
    ):
        hypermodels.load("cmn", _problem([9, 4]))


def test_a_build_function_of_the_working_directory_is_a_hypermodel(user_module):
    user_module(
        "mine",
        "def build(hp):\n"
        "    return keras.Sequential([keras.Input([4]), keras.layers.Dense(hp.Int('u', 3, 9))])\n",
    )
    hypermodel = hypermodels.load("mine:build", _problem([9, 4]))
    assert isinstance(hypermodel, keras_tuner.HyperModel)
    hp = keras_tuner.HyperParameters()
    assert hypermodel.build(hp).output_shape == (None, 3) and hp.values == {"u": 3}


def test_a_hypermodel_class_or_instance_of_the_user_is_taken(user_module):
    user_module(
        "mine_too",
        "class Mine(keras_tuner.HyperModel):\n"
        "    def build(self, hp):\n        return keras.Sequential(name='mine')\n"
        "made = Mine()\n",
    )
    assert hypermodels.load("mine_too:made", _problem([9, 4])) is sys.modules["mine_too"].made
    for name in ("made", "Mine"):
        assert (
            hypermodels.load(f"mine_too:{name}", _problem([9, 4]))
            .build(keras_tuner.HyperParameters())
            .name
            == "mine"
        )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere:build", "there is no module `nowhere`"),
        ("wrong.inner:build", "there is no module `wrong.inner`"),
        ("wrong:biuld", "has no `biuld`; did you mean `build`"),
        ("wrong:", "has no ``"),
        (":build", "has no module"),
        ("wrong:model", "must be a build.hp. function .* is of type Sequential"),
        ("wrong:number", "is of type int"),
        ("wrong:Plain", "is the class Plain"),
        ("wrong:Needy", "cannot be made without arguments"),
    ],
)
def test_what_cannot_be_a_model_is_refused_in_one_line(user_module, name, message):
    user_module(
        "wrong",
        "def build(hp): pass\nmodel = keras.Sequential()\nnumber = 3\nclass Plain: pass\n"
        "class Needy(keras_tuner.HyperModel):\n"
        "    def __init__(self, size):\n        super().__init__()\n",
    )
    with pytest.raises(ValueError, match=message) as refusal:
        hypermodels.load(name, _problem([9, 4]))
    assert f"`{name}`" in str(refusal.value) and "\n" not in str(refusal.value)


def test_an_error_inside_the_users_module_is_theirs_to_see(user_module):
    user_module("broken", "import a_module_that_is_not_there\n")
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_there"):
        hypermodels.load("broken:build", _problem([9, 4]))
