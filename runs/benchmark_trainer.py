"""Measures the trainer against bare `model.fit` on Fashion-MNIST: python runs/benchmark_trainer.py.

Every round times all variants one after the other, so that a noisy machine troubles them alike; ratios are medians over
the rounds. `--steps` and `--rounds` make it shorter.
"""

import os
import statistics
import sys
import time

from absl import app, flags

FLAGS = flags.FLAGS
BATCH_SIZE = 64


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


def variants(name, task, steps):
    """Functions that train `steps` steps, by the name of the variant."""
    from kerastune import models
    from kerastune.recipe import Recipe
    from kerastune.scores import Objective
    from kerastune.training import CHUNK, Trainer
    from kerastune.trial import TrialSpec

    def build(hyperparameters):
        return getattr(models, name)((28, 28, 1), 10, "classification")

    x, y = task.train.x[: steps * BATCH_SIZE], task.train.y[: steps * BATCH_SIZE]
    default, chunked = compiled(build, 1), compiled(build, CHUNK)
    trainer = Trainer(task, build, Objective("accuracy", "max"))
    spec = TrialSpec("benchmark", "benchmark", Recipe(batch_size=BATCH_SIZE, decay="none"), 0, steps)
    return {
        "model.fit, its defaults": lambda: default.fit(x, y, batch_size=BATCH_SIZE, verbose=0),
        f"model.fit, steps_per_execution={CHUNK}": lambda: chunked.fit(x, y, batch_size=BATCH_SIZE, verbose=0),
        "kerastune, everything recorded": lambda: trainer.run(spec),
    }


def milliseconds_per_step(functions, steps, rounds):
    """Time of a step of every variant in every round; the first round only warms up."""
    times = {name: [] for name in functions}
    for _ in range(rounds + 1):
        for name, function in functions.items():
            began = time.perf_counter()
            function()
            times[name].append(1e3 * (time.perf_counter() - began) / steps)
    return {name: values[1:] for name, values in times.items()}


def main(argv):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from kerastune import data

    task = data.load("fashion_mnist")
    print("| model | variant | ms per step | against its defaults | against the same steps per execution |")
    print("|---|---|---|---|---|")
    for name in FLAGS.models:
        times = milliseconds_per_step(variants(name, task, FLAGS.steps), FLAGS.steps, FLAGS.rounds)
        default, chunked, _ = times.values()
        for variant, values in times.items():
            ratios = [statistics.median(v / base for v, base in zip(values, bases)) for bases in (default, chunked)]
            cells = [f"{value:.2f}" for value in (statistics.median(values), *ratios)]
            print(f"| {name} | {variant} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    flags.DEFINE_integer("steps", 500, "Steps of one timing.", 50)
    flags.DEFINE_integer("rounds", 5, "Rounds of timings.", 1)
    flags.DEFINE_list("models", ["mlp", "cnn"], "Built-in models.")
    sys.exit(app.run(main))
