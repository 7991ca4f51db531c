"""Measures the trainer against bare `model.fit` on Fashion-MNIST: python runs/benchmark_trainer.py.

Every round times all variants one after the other, so that a noisy machine troubles them alike;
ratios are medians over the rounds. A step's time is that between the ends of two calls of the train
function, the median of one `fit`; a call's is that of the whole `fit`, set-up included. Other
programs that run meanwhile spoil the figures.
"""

import os
import statistics
import sys
import tempfile
import time

from absl import app, flags

FLAGS = flags.FLAGS
BATCH_SIZE = 64
STAGE_1 = ["digits:mlp", "digits:cnn", "fashion_mnist:mlp", "fashion_mnist:cnn"]


def builder(name):
    """Builds a built-in network for Fashion-MNIST."""
    from kerastune.models.hypermodels import networks

    return lambda hyperparameters: getattr(networks, name)((28, 28, 1), 10, "classification")


def compiled(build, steps_per_execution):
    """A bare Keras model with stock SGD."""
    import keras

    model = build({})
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=steps_per_execution,
    )
    return model


def stopwatch():
    """A callback whose `ends` are the moments at which calls of the train function ended."""
    import keras

    class Stopwatch(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.ends = []

        def __deepcopy__(self, memo):
            return self  # the trainer copies callbacks, but there is one watch

        def on_train_batch_end(self, batch, logs=None):
            self.ends.append(time.perf_counter())

    return Stopwatch()


def variants(name, task, steps, watch):
    """By the name of the variant: a function that trains `steps` steps, and the steps of one call
    of its function.
    """
    from kerastune.objective import Objective
    from kerastune.recipe import Recipe
    from kerastune.training.trainer import CHUNK, Trainer
    from kerastune.trial import TrialSpec

    x, y = task.train.x[: steps * BATCH_SIZE], task.train.y[: steps * BATCH_SIZE]
    default, chunked = compiled(builder(name), 1), compiled(builder(name), CHUNK)
    trainer = Trainer(task, builder(name), Objective("accuracy", "max"), [watch])
    spec = TrialSpec(
        "benchmark", "benchmark", Recipe(batch_size=BATCH_SIZE, decay="none"), 0, steps
    )
    bare = {"batch_size": BATCH_SIZE, "verbose": 0, "callbacks": [watch]}
    return {
        "model.fit, its defaults": (lambda: default.fit(x, y, **bare), 1),
        f"model.fit, steps_per_execution={CHUNK}": (lambda: chunked.fit(x, y, **bare), CHUNK),
        "kerastune, everything recorded": (lambda: trainer.run(spec), CHUNK),
    }


def milliseconds(name, task, steps, rounds):
    """Time of a step and of a call, by variant, for every round; the first round only warms up."""
    watch = stopwatch()
    functions = variants(name, task, steps, watch)
    times = {variant: [] for variant in functions}
    for _ in range(rounds + 1):
        for variant, (train, steps_per_call) in functions.items():
            watch.ends.clear()
            began = time.perf_counter()
            train()
            whole = time.perf_counter() - began
            step = (
                statistics.median(b - a for a, b in zip(watch.ends, watch.ends[1:]))
                / steps_per_call
            )
            times[variant].append((1e3 * step, 1e3 * whole / steps))
    return {variant: values[1:] for variant, values in times.items()}


def report_times(task):
    """Prints what a step costs."""
    columns = ("ms a step", "against the same steps per execution", "ms a step, set-up included")
    print(f"| model | variant | {' | '.join(columns)} | steps a second against the defaults |")
    print("|---|---|---|---|---|---|")
    for name in FLAGS.models:
        times = milliseconds(name, task, FLAGS.steps, FLAGS.rounds)
        default, chunked, _ = times.values()
        for variant, values in times.items():
            steps, calls = zip(*values)
            ratio = statistics.median(step / base for step, (base, _) in zip(steps, chunked))
            faster = statistics.median(base / call for call, (_, base) in zip(calls, default))
            cells = [
                f"{value:.2f}"
                for value in (statistics.median(steps), ratio, statistics.median(calls), faster)
            ]
            print(f"| {name} | {variant} | {' | '.join(cells)} |", flush=True)


def hand_written(build, batches, weights):
    """Losses of a plain loop with a gradient tape and stock SGD over the same batches.

    Its step is a `tf.function`, so that both use the same kernels: an eager convolution differs in
    its last bit, and in 50 steps such a bit grows to about 0.02.
    """
    import keras
    import tensorflow as tf

    model = build({})
    model.set_weights(weights)
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(
                keras.losses.sparse_categorical_crossentropy(y, model(x, training=True))
            )
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    return [float(step(x, y)) for x, y in batches]


def report_losses(task):
    """Prints how far recorded losses are from those of a hand-written loop over the same 50
    batches.
    """
    import numpy as np

    from kerastune.data.batches import Batches
    from kerastune.training.step_recorder import StepRecorder

    batches = Batches(task).training(BATCH_SIZE, seed=1, start=0, until=50)
    for name in FLAGS.models:
        weights = builder(name)({}).get_weights()
        expected = hand_written(builder(name), batches, weights)
        for steps_per_execution in (1, 50):
            model = compiled(builder(name), steps_per_execution)
            model.set_weights(weights)
            recorder = StepRecorder(model, capacity=50)
            recorder.install()
            model.fit(batches, shuffle=False, verbose=0)
            difference = np.abs(recorder.read().values["loss"] - expected).max()
            print(
                f"{name}, steps_per_execution={steps_per_execution}: losses differ by at most "
                f"{difference:.1g}"
            )


def report_traces(task):
    """Prints how often the train function was traced again for other rates, momenta, schedules and
    batch sizes.
    """
    import keras

    from kerastune.objective import Objective
    from kerastune.recipe import Recipe
    from kerastune.training.trainer import Trainer
    from kerastune.trial import TrialSpec

    class Counted(keras.Model):
        traced = 0

        def train_step(self, data):
            Counted.traced += 1  # Python code runs only while it is traced
            return super().train_step(data)

    def build(hyperparameters):
        network = builder("mlp")(hyperparameters)
        return Counted(network.input, network.output)

    trainer = Trainer(task, build, Objective("accuracy", "max"))
    settings = [
        (64, 0.9, 0.01, "none"),
        (64, 0.5, 0.1, "none"),
        (256, 0.9, 0.01, "linear"),
        (32, 0.0, 0.03, "linear"),
    ]
    traced = []
    for i, (batch_size, momentum, rate, decay) in enumerate(settings):
        recipe = Recipe(
            batch_size=batch_size,
            momentum=momentum,
            learning_rate=rate,
            decay=decay,
            total_steps=100,
        )
        trainer.run(TrialSpec(f"trial-{i}", "benchmark", recipe, 0, 100))
        traced.append(Counted.traced)
    print(
        f"Times that the train step was traced by the end of each of {len(settings)} trials: "
        f"{traced}"
    )


def report_stage_1(task):
    """Prints what stage 1 cost, in trainings of the number of steps that it found; `task` is one of
    several here.
    """
    import kerastune
    from kerastune.data import loading
    from kerastune.models import hypermodels

    print("| data | model | steps of stage 1 | steps it found | times |")
    print("|---|---|---|---|---|")
    for search in FLAGS.searches:
        source, name = search.split(":")
        task = task if source == task.name else loading.load(source)
        with tempfile.TemporaryDirectory() as directory:
            tuner = kerastune.PlaybookTuner(
                hypermodels.load(name, task),
                budget="60000steps",
                directory=directory,
                stages=("start", "probe", "lr"),
            )
            tuner.search(task, verbose=0)
        values = tuner.decisions[-1].values
        times = values.steps_spent / values.total_steps
        print(
            f"| {source} | {name} | {values.steps_spent} | {values.total_steps} | {times:.1f} |",
            flush=True,
        )


def main(argv):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from kerastune.data import loading

    task = loading.load("fashion_mnist")
    for part in FLAGS.parts:
        print(f"\n{part}", flush=True)
        {
            "losses": report_losses,
            "traces": report_traces,
            "times": report_times,
            "stage_1": report_stage_1,
        }[part](task)


if __name__ == "__main__":
    flags.DEFINE_integer("steps", 800, "Steps of one timing.", 50)
    flags.DEFINE_integer("rounds", 7, "Rounds of timings.", 1)
    flags.DEFINE_list("models", ["mlp", "cnn"], "Built-in models.")
    flags.DEFINE_list("parts", ["losses", "traces", "times", "stage_1"], "What to measure.")
    flags.DEFINE_list(
        "searches",
        STAGE_1,
        "Data and model of the searches whose stage 1 is measured, as digits:mlp.",
    )
    sys.exit(app.run(main))
