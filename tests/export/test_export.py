"""Exports answer as the Keras model does, in Python, in C++ and on the command line."""

import importlib.util
import json
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import cpp_loader
import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from kerastune.data.preprocessing import Attachment, fit, of_training_size
from kerastune.data.profiling import profile
from kerastune.data.tabular import fit_table
from kerastune.export import serving_readme
from kerastune.export.saved_model import export, save_as
from kerastune.export.signatures import Service, named_inputs
from kerastune.export.versions import versions
from kerastune.inference import averaging, tta, views
from kerastune.models.hypermodels import networks

NAMES = tuple("abcdefghij")
GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.integers(0, 256, (8, 12, 12)).astype(np.uint8)


@pytest.fixture(scope="module")
def image_model():
    keras.utils.set_random_seed(1)
    inner = networks.cnn((12, 12, 1), 10, "classification", filters=2, dense_units=4)
    return Attachment(fit(profile(IMAGES), True, True))(inner)


@pytest.fixture(scope="module")
def exported(image_model, tmp_path_factory):
    return export(
        image_model, tmp_path_factory.mktemp("base"), "digits", class_names=NAMES, examples=IMAGES
    )


@pytest.fixture(scope="module")
def reloaded(exported):
    return tf.saved_model.load(str(exported)).signatures


def pngs(images):
    return np.array([tf.io.encode_png(image[..., None]).numpy() for image in images], object)


def loaded(directory):
    return tf.saved_model.load(str(directory)).signatures["serving_default"]


def small(*layers, shape=(4,), dtype="float32"):
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input(shape, dtype=dtype), *layers])


def assert_answers(answer, probabilities):
    np.testing.assert_allclose(answer["probabilities"], probabilities, atol=1e-5)
    np.testing.assert_array_equal(answer["classes"], probabilities.argmax(axis=1))
    labels = [NAMES[each].encode() for each in probabilities.argmax(axis=1)]
    assert np.asarray(answer["labels"]).tolist() == labels


# The same answers, however it is loaded.


def test_both_signatures_answer_as_the_keras_model(reloaded, image_model):
    wanted = image_model.predict(IMAGES, verbose=0)
    assert_answers(reloaded["serving_default"](inputs=tf.constant(IMAGES)), wanted)
    assert_answers(reloaded["serving_bytes"](image_bytes=tf.constant(pngs(IMAGES))), wanted)
    assert_answers(reloaded["serving_default"](inputs=tf.constant(IMAGES[:1])), wanted[:1])


@pytest.mark.skipif(
    cpp_loader.library() is None, reason="TensorFlow's C++ library has another name here"
)
def test_tensorflows_cpp_loader_gives_the_same(exported, image_model):
    session = cpp_loader.Loaded(exported)
    wanted = image_model.predict(IMAGES, verbose=0)
    assert set(session.signatures) - {"__saved_model_init_op"} == {
        "serving_default",
        "serving_bytes",
    }
    assert_answers(session.run("serving_default", {"inputs": IMAGES}), wanted)
    assert_answers(session.run("serving_bytes", {"image_bytes": pngs(IMAGES)}), wanted)
    session.close()


@pytest.mark.skipif(
    cpp_loader.library() is None, reason="TensorFlow's C++ library has another name here"
)
def test_the_cpp_loader_reads_lookup_tables_of_text_columns(tmp_path):
    columns = {
        "size (cm)": np.array([1.0, np.nan, 3.0]),
        "city": np.array(["Bonn", "Rome", "Rome"]),
    }
    table = fit_table(columns, standardize=True)
    model = Attachment(table)(small(keras.layers.Dense(1), shape=(3,)))
    raw = {
        "size__cm_": columns["size (cm)"][:, None],
        "city": np.array([["Bonn"], ["Rome"], ["Oslo"]]),
    }
    directory = export(model, tmp_path, "towns", examples=raw)
    wanted = model({name: tf.constant(column) for name, column in raw.items()}).numpy()
    session = cpp_loader.Loaded(directory)
    found = session.run(
        "serving_default", {**raw, "city": np.char.encode(raw["city"]).astype(object)}
    )
    session.close()
    assert list(found) == ["predictions"]
    np.testing.assert_allclose(found["predictions"], wanted, atol=1e-5)


@pytest.mark.slow
def test_saved_model_cli_gives_the_same(exported, image_model, tmp_path):
    np.save(tmp_path / "x.npy", IMAGES)
    program = pathlib.Path(sys.executable).with_name("saved_model_cli")
    arguments = [
        "run",
        "--dir",
        exported,
        "--tag_set",
        "serve",
        "--signature_def",
        "serving_default",
    ]
    arguments += ["--inputs", f"inputs={tmp_path / 'x.npy'}", "--outdir", tmp_path]
    done = subprocess.run([program, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {
        name: np.load(tmp_path / f"{name}.npy", allow_pickle=True)
        for name in ("probabilities", "classes", "labels")
    }
    assert_answers(found, image_model.predict(IMAGES, verbose=0))


# Every kind of model.


def test_logits_become_probabilities_and_a_single_output_two_classes(tmp_path):
    x = GENERATOR.normal(size=(6, 4)).astype(np.float32) * 5
    logits = small(keras.layers.Dense(3))
    answer = Service(logits, ("a", "b", "c"), x).answer({"inputs": x})
    assert_answers(answer, tf.nn.softmax(logits(x)).numpy())
    for last in (None, "sigmoid"):
        binary = small(keras.layers.Dense(1, last))
        p = binary(x).numpy() if last else tf.sigmoid(binary(x)).numpy()
        assert_answers(
            Service(binary, ("a", "b"), x).answer({"inputs": x}), np.concatenate([1 - p, p], axis=1)
        )


def test_several_labels_are_told_one_by_one_whether_they_are_sigmoids_or_logits():
    x = GENERATOR.normal(size=(6, 4)).astype(np.float32) * 5
    for last in (None, "sigmoid"):
        model = small(keras.layers.Dense(3, last))
        model.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=last is None))
        answer = Service(model, examples=x).answer({"inputs": x})
        p = model(x).numpy() if last else tf.sigmoid(model(x)).numpy()
        np.testing.assert_allclose(answer["probabilities"], p, rtol=1e-5)
        np.testing.assert_array_equal(answer["classes"], p > 0.5)


def test_a_model_of_one_batch_size_is_exported_with_it(tmp_path):
    x = keras.Input(batch_shape=(3, 4), name="inputs")
    model = keras.Model(x, keras.layers.Dense(2)(keras.ops.reshape(x, (3, 4))))
    for examples in (None, np.ones([2, 4], "float32")):
        directory = export(model, tmp_path, "fixed", examples=examples)
        assert loaded(directory)(inputs=tf.ones([3, 4]))["predictions"].shape == (3, 2)


def test_regression_gives_predictions_and_nothing_else(tmp_path):
    x = GENERATOR.normal(size=(20, 4))
    model = Attachment(fit(profile(x), False, True), 150.0, 75.0)(small(keras.layers.Dense(1)))
    directory = export(model, tmp_path, "diabetes", examples=x)
    answer = loaded(directory)(inputs=tf.constant(x))
    assert list(answer) == ["predictions"]
    np.testing.assert_allclose(answer["predictions"], model.predict(x, verbose=0), rtol=1e-5)
    assert not (directory / "assets").exists() or not list((directory / "assets").iterdir())
    bounded = small(keras.layers.Dense(1, "sigmoid"))
    bounded.compile("sgd", "mse")
    assert list(Service(bounded).answer({"inputs": x.astype(np.float32)})) == ["predictions"]


def test_inputs_keep_the_names_of_a_dict_and_a_single_one_is_called_inputs():
    named = {
        "petal length": keras.Input([1], name="petal length"),
        "city": keras.Input([2], name="city"),
    }
    model = keras.Model(named, keras.layers.Dense(1)(keras.layers.Concatenate()([*named.values()])))
    examples = {
        "petal length": np.array([[1.0], [2.0]]),
        "city": np.array([[5.0, 6.0]] * 2),
        "surplus": np.zeros(2),
    }
    service = Service(model, examples=examples)
    assert set(service.inputs) == {"petal_length", "city"}
    kept = {name: examples[name] for name in named}
    np.testing.assert_allclose(
        service.answer(service.examples)["predictions"], model(kept), atol=1e-6
    )
    assert list(Service(small(keras.layers.Dense(1))).inputs) == ["inputs"]
    assert list(named_inputs([keras.Input([1]), keras.Input([1], name="age")])) == [
        "inputs_0",
        "age",
    ]
    with pytest.raises(ValueError, match="differ only in characters"):
        named_inputs({"a b": keras.Input([1]), "a-b": keras.Input([1])})


def test_a_subclassed_model_is_exported_with_the_inputs_of_the_examples(tmp_path):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2, "softmax")

        def call(self, x):
            return self.dense(x)

    model, x = Own(), np.ones((3, 4), np.float32)
    wanted = model(x).numpy()
    with pytest.raises(ValueError, match="give `examples`"):
        export(model, tmp_path, "own", class_names=("a", "b"))
    directory = export(model, tmp_path, "own", class_names=("a", "b"), examples=x)
    assert_answers(loaded(directory)(inputs=tf.constant(x)), wanted)


def test_an_ensemble_is_exported_in_whichever_form_is_faster_and_answers_as_before(
    tmp_path, monkeypatch, caplog
):
    inputs = keras.Input((4,), name="measured")
    members = [
        small(keras.layers.Dense(5, "relu"), keras.layers.Dense(3, "softmax")) for _ in range(3)
    ]
    for number, member in enumerate(members):
        member.set_weights([weights + number for weights in member.get_weights()])
    model = keras.Model(inputs, keras.layers.Average()([member(inputs) for member in members]))
    x = GENERATOR.normal(size=(6, 4)).astype(np.float32)
    for stacked in (0.5, 2.0):
        monkeypatch.setattr(
            "kerastune.inference.stacking.benchmark.medians",
            lambda *_, stacked=stacked: {"branches": 1.0, "stacked": stacked},
        )
        with caplog.at_level("INFO", "kerastune"):
            directory = export(model, tmp_path, "m", class_names=("a", "b", "c"), examples=x)
        assert ("stacked is faster" in caplog.text) == (stacked < 1)
        caplog.clear()
        assert (b"einsum_dense" in (directory / "saved_model.pb").read_bytes()) == (stacked < 1)
        assert_answers(loaded(directory)(measured=tf.constant(x)), model.predict(x, verbose=0))


def test_without_examples_random_inputs_are_compared(tmp_path):
    directory = export(small(keras.layers.Dense(3, "softmax")), tmp_path, "m")
    answer = loaded(directory)(inputs=tf.zeros([2, 4]))
    assert set(answer) == {"probabilities", "classes"}


# What must not be exported.


class Noise(keras.layers.Layer):
    def call(self, x):
        return x + tf.random.normal(tf.shape(x), stddev=1e-3)


def test_a_model_that_answers_otherwise_once_loaded_is_refused_and_removed(tmp_path):
    with pytest.raises(ValueError, match="differs from the Keras model"):
        export(small(keras.layers.Dense(3), Noise()), tmp_path, "m", class_names=("a", "b", "c"))
    assert [entry.name for entry in (tmp_path / "m").iterdir()] == [".lock"]
    assert not (tmp_path / serving_readme.CONFIG).exists()


def test_what_does_not_fit_is_refused_in_one_line_before_anything_is_written(tmp_path):
    model = small(keras.layers.Dense(3, "softmax"))
    two = keras.Model(model.inputs, [model.outputs[0], model.outputs[0]])
    cases = [
        (model, {"class_names": ("a", "b")}, "`class_names` must name the model's 3"),
        (two, {}, "must have one output"),
        (model, {"examples": np.zeros((2, 5))}, r"`examples` of `inputs` must be \[n, 4\]"),
        (model, {"image": True}, "images are"),
    ]
    for case, arguments, said in cases:
        with pytest.raises(ValueError, match=said) as refused:
            export(case, tmp_path, "m", **arguments)
        assert "\n" not in str(refused.value)
    for name in ("", "a/b", ".tmp-1", ".."):
        with pytest.raises(ValueError, match="`name` must be"):
            export(model, tmp_path, name)
    assert not list(tmp_path.iterdir())


# Versions and pollers.


def test_a_poller_that_loads_every_version_at_once_never_sees_half_a_model(image_model, tmp_path):
    seen, failed, stop = set(), [], threading.Event()

    def poll():
        while not stop.is_set():
            for version in set(versions(tmp_path / "m")) - seen:
                try:
                    session = loaded(tmp_path / "m" / str(version))
                    assert session(inputs=tf.constant(IMAGES[:1]))["probabilities"].shape == (1, 10)
                    assert (
                        (
                            tmp_path
                            / "m"
                            / str(version)
                            / serving_readme.EXTRA
                            / "tf_serving_warmup_requests"
                        )
                        .stat()
                        .st_size
                    )
                except Exception as error:
                    failed.append((version, error))
                seen.add(version)

    poller = threading.Thread(target=poll)
    poller.start()
    for _ in range(2):
        export(image_model, tmp_path, "m", class_names=NAMES, examples=IMAGES)
    time.sleep(0.3)
    stop.set()
    poller.join()
    assert failed == [] and seen == {1, 2}


EXPORTER = """
import keras, sys
from kerastune.export.saved_model import export
last = keras.layers.Dense(3, "softmax")
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(400), last])
print("ready", flush=True)
while True:
    export(model, sys.argv[1], "m")
"""


@pytest.mark.slow
def test_exports_that_are_killed_at_any_moment_leave_only_whole_versions(tmp_path):
    generator, seen = np.random.default_rng(0), set()
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", EXPORTER, str(tmp_path)], stdout=subprocess.PIPE
        )
        assert process.stdout.readline() == b"ready\n"
        until = time.monotonic() + generator.uniform(1, 4)
        while time.monotonic() < until or not versions(tmp_path / "m"):
            for version in set(versions(tmp_path / "m")) - seen:
                loaded(tmp_path / "m" / str(version))(inputs=tf.zeros([1, 4]))
                seen.add(version)
        process.kill()
        process.wait()
        for version in set(versions(tmp_path / "m")) - seen:
            loaded(tmp_path / "m" / str(version))(inputs=tf.zeros([1, 4]))
    assert seen
    export(small(keras.layers.Dense(3, "softmax")), tmp_path, "m")
    assert not list((tmp_path / "m").glob(".tmp-*"))


# What stands beside the model.


def test_labels_and_requests_stand_in_the_version(exported, reloaded, image_model):
    assert (exported / "assets" / "labels.txt").read_text().splitlines() == list(NAMES)
    wanted = image_model.predict(IMAGES[:1], verbose=0)
    body = json.loads((exported / serving_readme.EXTRA / "serving_default.json").read_text())
    assert body["signature_name"] == "serving_default" and len(body["instances"]) == 1
    given = {
        name: np.array([row[name] for row in body["instances"]], np.uint8)
        for name in body["instances"][0]
    }
    assert_answers(
        reloaded["serving_default"](**{name: tf.constant(x) for name, x in given.items()}), wanted
    )
    body = json.loads((exported / serving_readme.EXTRA / "serving_bytes.json").read_text())
    (instance,) = body["instances"]
    decoded = tf.io.decode_base64(
        instance["image_bytes"]["b64"].replace("+", "-").replace("/", "_").rstrip("=")
    )
    assert_answers(reloaded["serving_bytes"](image_bytes=decoded[None]), wanted)


def test_warm_up_requests_ask_every_signature_with_one_and_with_several_examples(
    exported, reloaded
):
    messages = pytest.importorskip(
        "tensorflow_serving.apis.prediction_log_pb2",
        reason="tensorflow-serving-api is not here: pip install -e '.[serving]'",
    )
    asked = []
    for record in tf.data.TFRecordDataset(
        str(exported / serving_readme.EXTRA / "tf_serving_warmup_requests")
    ):
        request = messages.PredictionLog.FromString(record.numpy()).predict_log.request
        inputs = {
            name: tf.constant(tf.make_ndarray(tensor)) for name, tensor in request.inputs.items()
        }
        answer = reloaded[request.model_spec.signature_name](**inputs)
        asked.append(
            (request.model_spec.name, request.model_spec.signature_name, len(answer["classes"]))
        )
    assert asked == [
        ("digits", signature, n)
        for n in (1, 8)
        for signature in ("serving_default", "serving_bytes")
    ]


def test_the_servers_own_message_reads_the_configuration_of_all_models(image_model, exported):
    messages = pytest.importorskip(
        "tensorflow_serving.config.model_server_config_pb2",
        reason="tensorflow-serving-api is not here: pip install -e '.[serving]'",
    )
    base = exported.parent.parent
    export(small(keras.layers.Dense(1)), base, "another.model-2")
    (base / "not a model" / "1").mkdir(parents=True)
    (base / "no-version").mkdir()
    serving_readme.write(base)
    read = text_format.Parse(
        (base / serving_readme.CONFIG).read_text(), messages.ModelServerConfig()
    )
    found = [
        (each.name, each.base_path, each.model_platform) for each in read.model_config_list.config
    ]
    assert found == [
        (name, f"/models/{name}", "tensorflow") for name in ("another.model-2", "digits")
    ]


def test_the_readme_names_files_that_are_there_and_every_signature(exported):
    base = exported.parent.parent
    text = (base / serving_readme.README).read_text()
    files = re.findall(r"curl -d @(\S+) http://localhost:8501/v1/models/(\S+):predict", text)
    assert {
        ("digits/1/assets.extra/serving_default.json", "digits"),
        ("digits/1/assets.extra/serving_bytes.json", "digits"),
    } <= set(files)
    assert all((base / body).is_file() for body, _ in files)
    assert "docker run" in text and "--model_config_file=/models/models.config" in text
    assert "`inputs` uint8 [n, 12, 12]" in text and "`probabilities` float [n, 10]" in text
    assert "black becomes 0, white 255" in text
    assert str(base) not in text


# The server itself, and other formats.


SERVER = shutil.which("tensorflow_model_server")


@pytest.fixture(scope="module")
def served(image_model, tmp_path_factory):
    """A server of a plain model, of one with a temperature and of one with views."""
    base = tmp_path_factory.mktemp("served")
    asked = dict(
        zip(("plain", "calibrated", "views"), (image_model, *what_is_handed_over()), strict=True)
    )
    for name, model in asked.items():
        export(model, base, name, class_names=NAMES, examples=IMAGES)
    (base / "here.config").write_text(
        serving_readme.config(list(asked)).replace("/models/", f"{base}/")
    )
    ports = [free_port(), free_port()]
    flags = [
        f"--port={ports[0]}",
        f"--rest_api_port={ports[1]}",
        f"--model_config_file={base / 'here.config'}",
    ]
    server = subprocess.Popen([SERVER, *flags])
    try:
        yield base, asked, f"localhost:{ports[0]}", f"http://localhost:{ports[1]}/v1/models"
    finally:
        server.terminate()
        server.wait()


@pytest.mark.skipif(SERVER is None, reason="tensorflow_model_server is not on PATH")
@pytest.mark.parametrize("name", ["plain", "calibrated", "views"])
def test_the_server_answers_over_rest(served, name):
    base, asked, _, address = served
    wait_until(lambda: b"AVAILABLE" in urllib.request.urlopen(f"{address}/{name}").read())
    wanted = asked[name].predict(IMAGES[:1], verbose=0)
    bodies = list((base / name / "1" / serving_readme.EXTRA).glob("*.json"))
    assert len(bodies) == 2
    for body in bodies:
        reply = urllib.request.urlopen(f"{address}/{name}:predict", body.read_bytes()).read()
        (answer,) = json.loads(reply)["predictions"]
        np.testing.assert_allclose(answer["probabilities"], wanted[0], atol=1e-5)
        assert answer["labels"] == NAMES[wanted[0].argmax()]


@pytest.mark.skipif(SERVER is None, reason="tensorflow_model_server is not on PATH")
@pytest.mark.parametrize("name", ["plain", "calibrated", "views"])
def test_the_server_answers_over_grpc(served, name):
    _, asked, address, rest = served
    grpc = pytest.importorskip("grpc")
    predict = pytest.importorskip("tensorflow_serving.apis.predict_pb2")
    services = pytest.importorskip("tensorflow_serving.apis.prediction_service_pb2_grpc")
    wait_until(lambda: b"AVAILABLE" in urllib.request.urlopen(f"{rest}/{name}").read())
    with grpc.insecure_channel(address) as channel:
        for signature, inputs in (
            ("", {"inputs": IMAGES}),
            ("serving_bytes", {"image_bytes": pngs(IMAGES)}),
        ):
            request = predict.PredictRequest()
            request.model_spec.name, request.model_spec.signature_name = name, signature
            for input_name, value in inputs.items():
                request.inputs[input_name].CopyFrom(tf.make_tensor_proto(value))
            reply = services.PredictionServiceStub(channel).Predict(request, timeout=20)
            answer = {output: tf.make_ndarray(tensor) for output, tensor in reply.outputs.items()}
            assert_answers(answer, asked[name].predict(IMAGES, verbose=0))


def free_port():
    with socket.socket() as listening:
        listening.bind(("localhost", 0))
        return listening.getsockname()[1]


def wait_until(condition, seconds=60):
    until = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except OSError:
            pass
        assert time.monotonic() < until, "the server does not answer"
        time.sleep(0.2)


def test_a_keras_file_and_litert_hold_the_same_model(tmp_path):
    model, x = (
        small(keras.layers.Dense(3, "softmax")),
        GENERATOR.normal(size=(1, 4)).astype(np.float32),
    )
    again = keras.models.load_model(save_as(model, tmp_path / "new", "m", "keras"))
    np.testing.assert_array_equal(again(x), model(x))
    interpreter = tf.lite.Interpreter(str(save_as(model, tmp_path / "new", "m", "litert")))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, model(x), atol=1e-5)
    assert {entry.name for entry in (tmp_path / "new").iterdir()} == {"m.keras", "m.tflite"}


def of_any_size():
    """A model of images of any size, as those of an image folder are saved, and some of its own."""
    x = GENERATOR.integers(0, 256, (3, 12, 12, 3)).astype(np.uint8)
    inner = networks.cnn((12, 12, 3), 10, "classification", filters=2, dense_units=4)
    return Attachment(fit(profile(x), True, True, any_size=True))(inner), x


def test_a_file_for_other_programs_takes_images_of_the_training_size(tmp_path):
    model, x = of_any_size()
    assert model(np.zeros([1, 30, 20, 3], np.uint8)).shape == (1, 10)
    interpreter = tf.lite.Interpreter(str(save_as(model, tmp_path, "m", "litert")))
    (given,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(given["index"], x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], x)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, model(x), atol=1e-5)
    for each in (model, of_training_size(model)):
        served = Service(each, class_names=NAMES)
        assert list(served.inputs) == ["inputs"] and served.picture.height == 12


def what_is_handed_over(*more_views):
    """Two models of raw images: a network with a temperature, and an average with views."""
    few = np.zeros([2, 12, 12, 1], np.float32)
    members = [
        networks.cnn((12, 12, 1), 10, "classification", filters=2, dense_units=4) for _ in range(2)
    ]
    combined = averaging.assemble(members, [0.6, 0.4], "geometric", 1.5, sample=few)
    seen = [views.Flip("horizontal"), views.Shift(right=1), *more_views]
    wrapped = tta.wrap(combined, seen, None, "classification", few, 0.7)
    attach = Attachment(fit(profile(IMAGES), True, True))
    return attach(averaging.assemble(members[:1], [1.0], temperature=2.0, sample=few)), attach(
        wrapped
    )


@pytest.mark.slow
def test_litert_holds_views_and_temperatures_too(tmp_path, caplog):
    for model in what_is_handed_over():
        interpreter = tf.lite.Interpreter(str(save_as(model, tmp_path, "m", "litert")))
        (given,), (said,) = interpreter.get_input_details(), interpreter.get_output_details()
        interpreter.resize_tensor_input(given["index"], IMAGES.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], IMAGES)
        interpreter.invoke()
        np.testing.assert_allclose(interpreter.get_tensor(said["index"]), model(IMAGES), atol=1e-5)
    assert "TensorFlow's own operations" not in caplog.text
    save_as(what_is_handed_over(views.Rotate(5))[1], tmp_path, "m", "litert")
    assert (
        "TensorFlow's own operations (LiteRT Flex): Select TensorFlow op" in caplog.text
        and "Export with `tta=False`" in caplog.text
    )


@pytest.mark.slow
def test_onnx_holds_the_same_model_views_and_temperatures_too(tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("tf2onnx")
    runtime = pytest.importorskip("onnxruntime")
    for model in what_is_handed_over():
        model.save(tmp_path / "m.keras")
        again = keras.models.load_model(tmp_path / "m.keras")  # which was never called
        session = runtime.InferenceSession(str(save_as(again, tmp_path, "m", "onnx")))
        assert [(each.name, each.type) for each in session.get_inputs()] == [
            ("inputs", "tensor(uint8)")
        ]
        np.testing.assert_allclose(
            session.run(None, {"inputs": IMAGES})[0], model(IMAGES), atol=1e-5
        )
    with pytest.raises(
        ValueError,
        match="no operation ImageProjectiveTransformV3, .*: export with `tta=False`",
    ):
        save_as(what_is_handed_over(views.Rotate(5))[1], tmp_path, "turned", "onnx")
    assert {entry.name for entry in tmp_path.iterdir()} == {"m.keras", "m.onnx"}


def test_a_format_whose_packages_are_missing_is_refused_with_what_to_install(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if "onnx" in name else find(name, *rest),
    )
    with pytest.raises(ImportError, match="pip install onnx tf2onnx"):
        save_as(small(), tmp_path / "new", "m", "onnx")
    with pytest.raises(ValueError, match="must be one of keras, onnx, litert"):
        save_as(small(), tmp_path / "new", "m", "torch")
    assert not (tmp_path / "new").exists()
