"""What a GPU makes of kerastune's trainer, in five minutes at most: python runs/benchmark_gpu.py.

Four tables: steps a second of the trainer against a bare `fit` at as many steps per execution, in
float32 and mixed precision, without XLA and with it, and what the trainer's own trial says of XLA;
the memory that a process holds with memory growth and without it; and 1, 4 and 16 small trials on
one GPU, in processes side by side and, of dense networks, as one stacked program. `--tiny` takes
seconds on a CPU and shows only that it runs.
"""

import os
import subprocess
import sys
import time

import numpy as np
from absl import app, flags

FLAGS = flags.FLAGS
NETWORKS = ("mlp", "cnn", "resnet")
CLASSES = 10


def data(count, side):
    """Random images and classes; only the time of a step is looked at."""
    generator = np.random.default_rng(1)
    x = generator.normal(size=(count, side, side, 1)).astype("float32")
    return x, generator.integers(0, CLASSES, count)


def problem(count, side):
    """A problem of such data."""
    from kerastune.problem import Part, Problem

    x, y = data(count, side)
    part, few = Part(x, y), Part(x[:64], y[:64])
    names = tuple(map(str, range(CLASSES)))
    return Problem("random", "classification", part, few, class_names=names)


def builder(name, side, **settings):
    """Builds a built-in network."""
    from kerastune.models.hypermodels import networks

    shape = (side, side, 1)
    return lambda hyperparameters: getattr(networks, name)(
        shape, CLASSES, "classification", **settings
    )


def seconds_of(train):
    """Seconds of a second call; the first one traces and compiles."""
    train()
    began = time.perf_counter()
    train()
    return time.perf_counter() - began


def of_fit(name, task, steps, jit):
    """Steps a second of a bare `fit`."""
    import keras

    from kerastune.training.trainer import CHUNK

    model = builder(name, FLAGS.side)({})
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=CHUNK,
        jit_compile=jit,
    )
    x, y = (array[: steps * FLAGS.batch] for array in (task.train.x, task.train.y))
    return steps / seconds_of(lambda: model.fit(x, y, batch_size=FLAGS.batch, verbose=0))


def of_trainer(name, task, steps, choice):
    """Steps a second of the trainer, and what it notes; `choice` says whether it tries XLA."""
    from kerastune.objective import Objective
    from kerastune.recipe import Recipe
    from kerastune.training.trainer import Trainer
    from kerastune.trial import TrialSpec

    trainer = Trainer(task, builder(name, FLAGS.side), Objective("accuracy", "max"))
    trainer.xla = choice
    recipe, notes = Recipe(batch_size=FLAGS.batch, decay="none"), []
    spec = TrialSpec("benchmark", "benchmark", recipe, 0, steps)

    def train():
        notes.extend(trainer.run(spec)[0].notes)

    return steps / seconds_of(train), "; ".join(notes) or "not tried"


def report_steps():
    """Prints steps a second, by network and precision."""
    import keras

    from kerastune.training.xla_choice import XlaChoice

    task = problem(FLAGS.steps * FLAGS.batch, FLAGS.side)
    columns = ("fit", "fit, XLA", "trainer", "trainer, as it chooses", "its choice")
    print(f"| network | precision | {' | '.join(columns)} |\n|---|---|---|---|---|---|---|")
    for name in FLAGS.networks:
        for precision in ("float32", "mixed_float16"):
            keras.mixed_precision.set_global_policy(precision)
            rates = [of_fit(name, task, FLAGS.steps, jit) for jit in (False, True)]
            plain, _ = of_trainer(name, task, FLAGS.steps, XlaChoice(lambda: False))
            chosen, note = of_trainer(name, task, FLAGS.steps, XlaChoice(lambda: True))
            cells = [f"{rate:.0f}" for rate in (*rates, plain, chosen)]
            print(f"| {name} | {precision} | {' | '.join(cells)} | {note} |", flush=True)
    keras.mixed_precision.set_global_policy("float32")


def report_memory():
    """Prints the GPU's memory that a process of one small training holds."""
    print("| memory growth | MiB on the GPU |\n|---|---|")
    for growth in (True, False):
        said = subprocess.run(
            [sys.executable, __file__, *own_flags(), "--parts=held", f"--growth={growth}"],
            capture_output=True,
            text=True,
            check=True,
        )
        print(f"| {'on' if growth else 'off'} | {said.stdout.split()[-1]} |", flush=True)


def report_held():
    """Trains a little, and says what this process holds of the GPU, or `none` on a CPU."""
    from kerastune.runtime import devices

    devices.set_up(FLAGS.growth)
    from kerastune.training.xla_choice import XlaChoice

    task = problem(64 * FLAGS.batch, FLAGS.side)
    of_trainer("mlp", task, 50, XlaChoice(lambda: False))
    print("held", held_memory())


def held_memory():
    """MiB that this process holds of the first GPU, as the driver says."""
    query = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
    try:
        rows = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return "none"
    mine = [row.split(",")[1].strip() for row in rows if row.split(",")[0] == str(os.getpid())]
    return mine[0] if mine else "unknown"


def report_trials():
    """Prints steps a second of all trials together: in processes, and as one stacked program."""
    print("| trials at once | processes | one stacked program |\n|---|---|---|")
    for count in map(int, FLAGS.trials):
        rates = of_processes(count), of_stacked(count)
        print(f"| {count} | {' | '.join(f'{rate:.0f}' for rate in rates)} |", flush=True)


def of_processes(count):
    """Steps a second of so many processes that train one dense network each."""
    command = [sys.executable, __file__, *own_flags(), "--parts=worker"]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    for worker in workers:  # all of them have traced
        while (line := worker.stdout.readline()) and line.strip() != "ready":
            pass
    began = time.perf_counter()
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        worker.communicate()
    return count * FLAGS.steps / (time.perf_counter() - began)


def report_worker():
    """Trains once to trace, waits for a line, and trains again."""
    from kerastune.runtime import devices

    devices.set_up(memory_growth=True)
    train = dense_trials(1)
    train()
    print("ready", flush=True)
    sys.stdin.readline()
    train()


def of_stacked(count):
    """Steps a second of so many dense networks as one program."""
    return count * FLAGS.steps / seconds_of(dense_trials(count))


def dense_trials(count):
    """A function that trains so many dense networks, with learning rates of their own, at once.

    Their weights have one axis more; a step of all of them is one matrix product by layer.
    """
    import tensorflow as tf

    x, y = data(FLAGS.batch, FLAGS.side)
    x, y = tf.constant(x.reshape(len(x), -1)), tf.constant(y)
    widths = (x.shape[1], FLAGS.units, FLAGS.units, CLASSES)
    kernels = [
        tf.Variable(tf.random.normal([count, a, b]) / a**0.5) for a, b in zip(widths, widths[1:])
    ]
    biases = [tf.Variable(tf.zeros([count, 1, width])) for width in widths[1:]]
    rates = tf.reshape(tf.cast(tf.exp(tf.linspace(-7.0, -3.0, count)), "float32"), [count, 1, 1])

    def losses():
        given = tf.tile(x[None], [count, 1, 1])
        for index, (kernel, bias) in enumerate(zip(kernels, biases)):
            given = tf.matmul(given, kernel) + bias
            given = tf.nn.relu(given) if index < len(kernels) - 1 else given
        truth = tf.tile(y[None], [count, 1])
        return tf.nn.sparse_softmax_cross_entropy_with_logits(truth, given)

    @tf.function
    def train():
        for _ in tf.range(FLAGS.steps):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(tf.reduce_mean(losses(), axis=1))
            weights = [*kernels, *biases]
            for weight, gradient in zip(weights, tape.gradient(loss, weights)):
                weight.assign_sub(rates * gradient)
        return loss

    return lambda: float(train())


def own_flags():
    """The sizes that were given, for another process."""
    return [f"--{name}={FLAGS[name].value}" for name in ("steps", "batch", "side", "units")]


PARTS = {
    "steps": report_steps,
    "memory": report_memory,
    "trials": report_trials,
    "held": report_held,
    "worker": report_worker,
}


def main(argv):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if FLAGS.tiny:
        FLAGS.steps, FLAGS.batch, FLAGS.side, FLAGS.units = 100, 8, 8, 8
        FLAGS.networks, FLAGS.trials = ["mlp"], ["1", "2"]
    for part in FLAGS.parts:
        PARTS[part]()
        print(flush=True)


if __name__ == "__main__":
    flags.DEFINE_bool("tiny", False, "Tiny sizes, which show on a CPU that it runs.")
    flags.DEFINE_integer("steps", 400, "Steps of one timing.", 100)
    flags.DEFINE_integer("batch", 128, "Batch size.", 1)
    flags.DEFINE_integer("side", 28, "Pixels of a side of an image.", 8)
    flags.DEFINE_integer("units", 128, "Width of the dense networks that are stacked.", 1)
    flags.DEFINE_list("networks", list(NETWORKS), "Built-in networks.")
    flags.DEFINE_list("trials", ["1", "4", "16"], "Trials at once.")
    flags.DEFINE_bool("growth", True, "Whether memory grows, in the part that measures it.")
    flags.DEFINE_list("parts", ["steps", "memory", "trials"], f"Of {', '.join(PARTS)}.")
    sys.exit(app.run(main))
