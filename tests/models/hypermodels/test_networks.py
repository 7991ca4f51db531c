import keras
import numpy as np
import pytest

from kerastune.models.hypermodels import embeddings, networks
from kerastune.models.hypermodels.embeddings import Columns


def _layer_names(model):
    return [type(layer).__name__ for layer in model.layers]


def test_cnn_of_fashion_mnist_is_the_one_the_benchmark_names():
    model = networks.cnn((28, 28, 1), 10, "classification")
    assert model.count_params() == 105_866
    assert _layer_names(model) == [
        "InputLayer",
        "Conv2D",
        "MaxPooling2D",
        "Conv2D",
        "MaxPooling2D",
        "Flatten",
        "Dense",
        "Dropout",
        "Dense",
    ]
    assert [
        layer.activation.__name__ for layer in model.layers if hasattr(layer, "activation")
    ] == ["relu", "relu", "relu", "softmax"]


@pytest.mark.parametrize(
    ("input_shape", "flat", "convolutions"),
    [
        ((8, 8, 1), 4 * 4 * 32, 2),
        ((4, 4, 3), 4 * 4 * 32, 2),
        ((32, 32, 3), 8 * 8 * 32, 2),
        ((64, 16), 8 * 4 * 64, 3),
        ((224, 224, 3), 7 * 7 * 256, 5),
    ],
)
def test_cnn_halves_large_images_more_often_than_small_ones(input_shape, flat, convolutions):
    model = networks.cnn(input_shape, 10, "classification")
    assert _layer_names(model).count("Conv2D") == convolutions
    assert model.layers[-3].kernel.shape == (flat, 64)


@pytest.mark.parametrize(
    ("input_shape", "flat"),
    [((28, 28, 1), 3 * 3 * 64), ((8, 8, 1), 2 * 2 * 64), ((64, 16, 1), 4 * 2 * 128)],
)
def test_a_deeper_cnn_has_one_more_convolution_first_and_one_more_halving_last(input_shape, flat):
    plain, deeper = (
        networks.cnn(input_shape, 10, "classification", deeper=each) for each in (False, True)
    )
    assert _layer_names(deeper)[:4] == [*_layer_names(plain)[:2], *_layer_names(plain)[1:3]]
    assert _layer_names(deeper).count("Conv2D") == _layer_names(plain).count("Conv2D") + 2
    assert deeper.layers[-3].kernel.shape == (flat, 64)


def test_batch_norm_stands_between_every_convolution_or_its_pooling_and_the_relu():
    model = networks.cnn(
        (28, 28, 1), 10, "classification", dense_units=128, deeper=True, batch_norm=True
    )
    pooled = ["Conv2D", "MaxPooling2D", "BatchNormalization", "ReLU"]
    convolutions = ["Conv2D", "BatchNormalization", "ReLU", *3 * pooled]
    assert _layer_names(model) == [
        "InputLayer",
        *convolutions,
        "Flatten",
        "Dense",
        "Dropout",
        "Dense",
    ]
    assert not any(layer.use_bias for layer in model.layers if layer.name.startswith("conv2d"))
    assert model.count_params() == 101_146  # of 128 filters a scale, a mean and a variance more


@pytest.mark.parametrize("builder", [networks.mlp, networks.cnn, networks.resnet])
@pytest.mark.parametrize("input_shape", [(9, 9, 3), (9, 9)])
def test_every_network_gives_class_probabilities_or_plain_numbers(builder, input_shape):
    x = np.random.default_rng(1).normal(size=[5, *input_shape]).astype("float32")
    probabilities = builder(input_shape, 2, "classification")(x).numpy()
    assert probabilities.shape == (5, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)
    regression = builder(input_shape, 3, "regression")
    assert regression.output_shape == (None, 3)
    assert regression.layers[-1].activation.__name__ == "linear"


@pytest.mark.parametrize("builder", [networks.mlp, networks.cnn, networks.resnet])
def test_every_network_has_dropout_before_its_output_that_does_nothing_yet(builder):
    model = builder((8, 8, 1), 3, "classification")
    assert type(model.layers[-2]).__name__ == "Dropout" and model.layers[-2].rate == 0
    assert _layer_names(networks.mlp((4,), 3, "regression", num_layers=3)).count("Dropout") == 3


def test_networks_are_not_compiled_and_have_no_fixed_batch_size():
    for builder in (networks.mlp, networks.cnn, networks.resnet):
        model = builder((8, 8, 1), 3, "classification")
        assert not model.compiled and model.input_shape[0] is None


def test_mlp_flattens_and_joins_a_dict_of_inputs():
    model = networks.mlp({"age": (), "image": (2, 2), "word": (3,)}, 4, "classification", units=5)
    x = {"age": np.ones([6]), "image": np.ones([6, 2, 2]), "word": np.ones([6, 3])}
    assert model(x).shape == (6, 4)
    assert [layer.kernel.shape for layer in model.layers if hasattr(layer, "kernel")] == [
        (8,),
        (8, 5),
        (5, 5),
        (5, 4),
    ]


def test_what_a_layer_of_the_mlp_gives_does_not_grow_with_its_width():
    for width in (4, 400):
        model = networks.mlp((width,), 3, "classification", units=width, num_layers=2)
        x = np.random.default_rng(1).normal(size=(500, width)).astype(np.float32)
        dense = [layer for layer in model.layers if type(layer).__name__ == "Dense"]
        for layer in dense[:-1]:
            before = keras.Model(model.input, layer.input)(x).numpy() @ layer.kernel.numpy()
            assert 0.4 < before.std() < 1.6, (width, before.std())
        assert np.abs(model(x) - 1 / 3).max() < 0.2  # hardly anything is believed yet


def test_mlp_without_hidden_layers_is_linear():
    assert networks.mlp((7,), 3, "regression", num_layers=0).count_params() == 7 * 3 + 3


def test_mlp_embeds_columns_of_numbers_by_cosines(tmp_path):
    model = networks.mlp((4,), 1, "regression", units=5, columns=Columns((0, 3)))
    einsums = [each for each in model.layers if type(each).__name__ == "EinsumDense"]
    weights, waves, embedding = sorted(einsums, key=lambda each: each.kernel.ndim)
    weights.kernel.assign([0.1, 0, 0, -0.2])
    x = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
    cosines = np.cos(x[:, [0, 3], None] * waves.kernel.numpy() + waves.bias.numpy())
    embedded = np.einsum("bcf,cfe->bce", cosines, embedding.kernel.numpy()).clip(0)
    joined = next(each for each in model.layers if type(each).__name__ == "Concatenate")
    given = keras.Model(model.input, joined.output)(x).numpy()
    weighted = x * (1 + embeddings.WEIGHTED * weights.kernel.numpy())
    expected = np.concatenate([weighted, embedded.reshape(6, -1)], axis=1)
    np.testing.assert_allclose(given, expected, atol=1e-5)
    # Stock layers alone: the file loads without kerastune.
    model.save(tmp_path / "model.keras")
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "model.keras")(x), model(x))


def test_piecewise_tells_how_far_numbers_are_through_their_bins(tmp_path):
    edges = ((-1.0, 0.0, 2.0), (0.0, 1.0))
    inputs = keras.Input((4,))
    model = keras.Model(inputs, embeddings.piecewise(inputs, (0, 3), edges))
    x = np.array([[-9, 7, 7, 0.25], [-0.5, 7, 7, -1], [1, 7, 7, 3]], np.float32)
    bins = np.array([[[0, 0], [0.25, 0.5]], [[0.5, 0], [0, 0.5]], [[1, 0.5], [1, 0.5]]]) - 0.5
    kernel = next(each.kernel for each in model.layers if type(each).__name__ == "EinsumDense")
    embedded = np.einsum("bcf,cfe->bce", bins, kernel.numpy()).clip(0)
    np.testing.assert_allclose(model(x), embedded.reshape(3, -1), atol=1e-6)
    model.save(tmp_path / "model.keras")
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "model.keras")(x), model(x))


def test_narrow_bins_are_told_apart_in_half_precision():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        columns = Columns((0,), ((2.0, 2.0002, 2.0006, 2.001),))
        model = networks.mlp((1,), 2, "regression", units=5, columns=columns)
    finally:
        keras.config.set_dtype_policy("float32")
    clipped = next(each for each in model.operations if type(each).__name__ == "Clip")
    x = np.array([[2.0001], [2.0004], [2.0009]], np.float32)
    bins = keras.Model(model.input, clipped.output)(x).numpy()
    np.testing.assert_allclose(bins, [[0, -0.5, -0.5], [0.5, 0, -0.5], [0.5, 0.5, 0.25]], atol=0.01)


def test_resnet_is_he_initialized_and_normalized_after_every_convolution():
    model = networks.resnet((28, 28, 1), 10, "classification", blocks=1, width=4)
    convolutions = [layer for layer in model.layers if type(layer).__name__ == "Conv2D"]
    # The first one, two in each of three blocks, and the shortcuts of the two groups that widen.
    assert len(convolutions) == 1 + 3 * 2 + 2
    assert all(type(layer.kernel_initializer).__name__ == "HeNormal" for layer in convolutions)
    assert not any(layer.use_bias for layer in convolutions)
    assert _layer_names(model).count("BatchNormalization") == len(convolutions)
    assert [layer.output.shape[1:] for layer in model.layers if type(layer).__name__ == "Add"] == [
        (28, 28, 4),
        (14, 14, 8),
        (7, 7, 16),
    ]


def test_resnet_halves_photographs_at_once():
    model = networks.resnet((64, 64, 3), 10, "classification", blocks=1)
    assert model.layers[1].output.shape == (None, 32, 32, 16)


@pytest.mark.parametrize("builder", [networks.cnn, networks.resnet])
def test_tables_and_several_inputs_are_refused_in_one_line_that_names_the_network(builder):
    for input_shape in [(13,), (), (2, 3, 4, 5), {"a": (8, 8, 1), "b": (3,)}]:
        with pytest.raises(ValueError, match=f"^`{builder.__name__}` takes .*; use `mlp`.$"):
            builder(input_shape, 2, "classification")


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="'ranking'.*classification"):
        networks.mlp((3,), 2, "ranking")
