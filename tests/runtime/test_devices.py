"""Devices and precision, with the GPUs of a machine that is made up."""

import logging
import types

import keras
import pytest
import tensorflow as tf

from kerastune.runtime import devices as devices_module
from kerastune.runtime import environment


@pytest.fixture(autouse=True)
def settings_put_back():
    policy, level = keras.config.dtype_policy(), tf.get_logger().level
    yield
    keras.config.set_dtype_policy(policy)
    tf.get_logger().setLevel(level)


@pytest.fixture
def gpus(monkeypatch):
    """Two GPUs; gives the calls that set their memory growth."""
    calls, devices = [], [types.SimpleNamespace(name=f"GPU:{number}") for number in range(2)]
    monkeypatch.setattr(
        tf.config, "list_physical_devices", lambda kind=None: devices if kind == "GPU" else []
    )
    monkeypatch.setattr(
        tf.config.experimental, "set_memory_growth", lambda gpu, on: calls.append((gpu.name, on))
    )
    return calls


def test_every_gpu_takes_memory_as_it_needs_it(gpus):
    notes = devices_module.set_up()
    assert gpus == [("GPU:0", True), ("GPU:1", True)]
    assert [note.split()[0] for note in notes] == ["GPU:0", "GPU:1"]


def test_memory_growth_can_be_turned_off(gpus):
    assert devices_module.set_up(gpu_memory_growth=False) == []
    assert gpus == []


@pytest.mark.parametrize(
    "error", [RuntimeError("already initialized"), ValueError("virtual devices configured")]
)
def test_a_gpu_that_cannot_be_changed_is_told_of_and_the_next_one_is_set(gpus, monkeypatch, error):
    def set_growth(gpu, on):
        if gpu.name == "GPU:0":
            raise error
        gpus.append(gpu.name)

    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", set_growth)
    notes = devices_module.set_up()
    assert gpus == ["GPU:1"]
    assert "GPU:0" in notes[0] and str(error) in notes[0]


def test_a_machine_without_gpu_needs_no_words(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    assert devices_module.set_up() == []


@pytest.mark.parametrize("precision", environment.PRECISIONS)
def test_precision_is_set(precision):
    notes = devices_module.set_up(precision=precision)
    assert keras.config.dtype_policy().name == precision
    assert any(precision in note for note in notes) == (precision != "float32")


def test_an_unknown_precision_is_refused_and_changes_nothing(gpus):
    before = keras.config.dtype_policy().name
    with pytest.raises(ValueError, match="`precision` must be one of float32, .*, got 'half'"):
        devices_module.set_up(precision="half")
    assert keras.config.dtype_policy().name == before and gpus == []


def test_tensorflow_tells_only_of_errors():
    tf.get_logger().setLevel(logging.INFO)
    devices_module.set_up()
    assert tf.get_logger().level == logging.ERROR


def test_what_is_supported_passes():
    devices_module.check_supported()


def test_another_backend_is_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="backend is 'jax', but kerastune needs 'tensorflow'"):
        devices_module.check_supported()


@pytest.mark.parametrize("value", ["1", "true", "True"])
def test_legacy_keras_is_refused(monkeypatch, value):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", value)
    with pytest.raises(ValueError, match="TF_USE_LEGACY_KERAS"):
        devices_module.check_supported()


@pytest.mark.parametrize("value", ["0", "false", ""])
def test_legacy_keras_turned_off_passes(monkeypatch, value):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", value)
    devices_module.check_supported()


@pytest.mark.parametrize(
    "name", ["KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "KERASTUNER_TUNER_ID"]
)
def test_keras_tuners_workers_are_refused(monkeypatch, name):
    monkeypatch.setenv(name, "")
    with pytest.raises(ValueError, match=f"{name} is set"):
        devices_module.check_supported()


def test_a_strategy_is_refused_inside_its_scope_only():
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    with (
        strategy.scope(),
        pytest.raises(ValueError, match="strategy .OneDeviceStrategy. is active"),
    ):
        devices_module.check_supported()
    devices_module.check_supported()


@pytest.fixture
def worker_settings(gpus, monkeypatch):
    """What a worker sets, in its order, on a machine with two GPUs."""
    calls = []
    threading = types.SimpleNamespace(
        set_intra_op_parallelism_threads=lambda count: calls.append(("within", count)),
        set_inter_op_parallelism_threads=lambda count: calls.append(("between", count)),
    )
    monkeypatch.setattr(tf.config, "threading", threading)
    monkeypatch.setattr(
        tf.config, "set_visible_devices", lambda gpu, kind: calls.append((kind, gpu.name))
    )

    def limit(gpu, configurations):
        calls.append((gpu.name, *(each.memory_limit for each in configurations)))

    monkeypatch.setattr(tf.config, "set_logical_device_configuration", limit)
    return calls


def test_a_worker_has_its_threads_one_gpu_and_a_share_of_its_memory(worker_settings, gpus):
    devices_module.set_up_worker(place=3, threads=2, memory_limit=3 * 2**30)
    assert (
        worker_settings == [("within", 2), ("between", 2), ("GPU", "GPU:1"), ("GPU:1", 3072)]
        and gpus == []
    )


def test_a_worker_with_a_gpu_to_itself_takes_memory_as_it_needs_it(worker_settings, gpus):
    devices_module.set_up_worker(place=0, threads=1, memory_limit=None)
    assert worker_settings[2:] == [("GPU", "GPU:0")] and gpus == [("GPU:0", True)]
