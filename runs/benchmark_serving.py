"""Prints how long k members take as one stacked model, as branches of one graph and as k calls:
python runs/benchmark_serving.py.

Members are kerastune's own networks with fresh weights (latency does not depend on their values),
compiled as they are served. Every figure is a median over calls taken in turns; ratios are of these
medians.
"""

import itertools
import os
import sys

import numpy as np
from absl import app, flags

FLAGS = flags.FLAGS
SHAPES = {"mlp": (64,), "cnn": (28, 28, 1)}  # a table of 64 columns, an image


def member(model):
    """A member with fresh weights."""
    from kerastune.models.hypermodels import networks

    return getattr(networks, model)(SHAPES[model], 10, "classification")


def row(model, count, batch_size):
    """Milliseconds of every variant, and the largest difference of the stacked outputs."""
    from kerastune.inference.stacking import benchmark, stacked_model

    members = [member(model) for _ in range(count)]
    x = stacked_model.batch(
        np.random.default_rng(0).random((64, *SHAPES[model]), np.float32), batch_size
    )
    functions = [stacked_model.compiled(each) for each in members]
    stacked, branches = (
        stacked_model.compiled(make(members))
        for make in (stacked_model.stack, stacked_model.branches)
    )
    calls = {
        "one": lambda: functions[0](x).numpy(),
        "calls": lambda: [function(x).numpy() for function in functions],
        "branches": lambda: branches(x).numpy(),
        "stacked": lambda: stacked(x).numpy(),
    }
    difference = np.abs(np.stack(calls["calls"](), axis=1) - calls["stacked"]()).max()
    return {
        name: 1000 * seconds for name, seconds in benchmark.medians(calls, FLAGS.rounds).items()
    }, difference


def main(argv):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    titles = "model | k | batch size | one member, ms | k calls, ms | branches, ms | stacked, ms"
    ratios = "stacked to k calls | stacked to branches | stacked to one member"
    print(f"| {titles} | {ratios} |\n{'|---' * 10}|")
    differences = []
    for model, count, batch_size in itertools.product(
        FLAGS.models, map(int, FLAGS.members), (1, 64)
    ):
        times, difference = row(model, count, batch_size)
        differences.append(difference)
        cells = [
            model,
            count,
            batch_size,
            *(f"{times[name]:.2f}" for name in ("one", "calls", "branches", "stacked")),
        ]
        cells += [f"{times['stacked'] / times[name]:.2f}" for name in ("calls", "branches", "one")]
        print(f"| {' | '.join(map(str, cells))} |", flush=True)
    print(f"\nStacked outputs differ from the members' by at most {max(differences):.1g}.")


if __name__ == "__main__":
    flags.DEFINE_list("models", ["mlp", "cnn"], "Networks: mlp, cnn.")
    flags.DEFINE_list("members", ["1", "3", "5", "10"], "Numbers of members.")
    flags.DEFINE_integer("rounds", 100, "Calls of each variant.", 1)
    sys.exit(app.run(main))
