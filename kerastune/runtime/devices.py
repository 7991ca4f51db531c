"""The process that trains: GPU memory, precision, and what kerastune can't run under."""

from __future__ import annotations

import logging

import keras
import tensorflow as tf

from kerastune.runtime import environment


def check_supported() -> None:
    """Refuses, by name, what would give wrong results or fail late.

    Raises:
        ValueError: for what `environment.check` refuses, another Keras backend, or an active
            distribution strategy.
    """
    environment.check()
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"the Keras backend is {keras.backend.backend()!r}, but kerastune needs 'tensorflow': "
            'set "backend": "tensorflow" in ~/.keras/keras.json.'
        )
    if tf.distribute.has_strategy():
        name = type(tf.distribute.get_strategy()).__name__
        raise ValueError(
            f"a tf.distribute strategy ({name}) is active, but kerastune trains outside of its "
            "scope."
        )


def set_up(gpu_memory_growth: bool = True, precision: str = "float32") -> list[str]:
    """Prepares devices and precision; to be called before any device is touched (P5).

    Args:
        gpu_memory_growth: whether a GPU's memory is taken as needed instead of all at once.
        precision: Keras's global dtype policy: `float32`, `mixed_float16` or `mixed_bfloat16`.

    Returns:
        One sentence for everything that was set or could not be.

    Raises:
        ValueError: for an unknown precision.
    """
    if precision not in environment.PRECISIONS:
        raise ValueError(
            f"`precision` must be one of {', '.join(environment.PRECISIONS)}, got {precision!r}."
        )
    keras.config.set_dtype_policy(precision)
    # It warns of every model's first prediction, each of which is one trace.
    tf.get_logger().setLevel(logging.ERROR)
    notes = [] if precision == "float32" else [f"Layers compute in {precision}."]
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus if gpu_memory_growth else []:
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
            notes.append(f"{gpu.name} takes memory as it needs it.")
        except (RuntimeError, ValueError) as error:  # in use already, or cut into virtual devices
            notes.append(f"{gpu.name}: its memory growth stays as it is ({error}).")
    return notes


def look_quietly() -> None:
    """Has TensorFlow look for GPUs now: its C++ code prints an error where it finds none."""
    with environment.quiet():
        tf.config.list_physical_devices()


def set_up_worker(place: int, threads: int, memory_limit: int | None) -> None:
    """Divides the machine among workers (S1.5), before any device is touched.

    Threads of the CPU, one of the GPUs and its memory.

    Args:
        place: the GPU of this worker, counted round.
        threads: for one operation, and for operations side by side.
        memory_limit: bytes of that GPU's memory; `None` to take them as they are needed.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return
    mine = gpus[place % len(gpus)]
    tf.config.set_visible_devices(mine, "GPU")
    if memory_limit is None:
        tf.config.experimental.set_memory_growth(mine, True)
    else:
        limit = tf.config.LogicalDeviceConfiguration(memory_limit=memory_limit // 2**20)
        tf.config.set_logical_device_configuration(mine, [limit])
