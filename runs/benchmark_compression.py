"""Prints what pruning costs and what a teacher is worth (S4.4): python
runs/benchmark_compression.py --seeds=5.

On Fashion-MNIST, with one recipe for all. The built-in network is trained, pruned and fine-tuned;
then it teaches a student of a quarter of its parameters, which is compared with the same student
alone, its temperature and mix being chosen on validation. The test part is looked at for each of
the four once, at the end.
"""

import tempfile

import numpy as np
from absl import app, flags

from kerastune.recipe import Recipe

FLAGS = flags.FLAGS
SHAPE = (28, 28, 1)
BUDGET = "1000000steps"  # more than all trainings take


def large(hp=None):
    """The built-in network."""
    from kerastune.models.hypermodels import networks

    return networks.cnn(SHAPE, 10, "classification", filters=16, dense_units=64)


def small(hp=None):
    """A quarter of its parameters."""
    from kerastune.models.hypermodels import networks

    return networks.cnn(SHAPE, 10, "classification", filters=8, dense_units=32)


def part(raw):
    """Images in [0, 1] and their classes."""
    return raw.x.reshape(-1, *SHAPE).astype("float32") / 255, raw.y.astype(int)


def cut(parts, seed):
    """Training part and validation part: a tenth of the examples, drawn with the seed."""
    x, y = part(parts["training"])
    order = np.random.default_rng(seed).permutation(len(y))
    last = len(y) // 10
    return [(x[rows], y[rows]) for rows in (order[last:], order[:last])]


def searched(build, stages, seed, data, directory, **options):
    """A tuner that has trained the recipe and gone through the stages after it."""
    from kerastune import PlaybookTuner

    recipe = Recipe(batch_size=64, learning_rate=0.03, total_steps=FLAGS.steps, decay="linear")
    options |= {"recipe": recipe, "stages": stages, "seed": seed, "budget": BUDGET}
    tuner = PlaybookTuner(build, directory=directory, project_name="-".join(stages), **options)
    train, validation = data
    tuner.search(*train, validation_data=validation, verbose=0)
    return tuner


def scored(tuner, trial, test):
    """Accuracy of a trial's kept weights in percent."""
    import keras_tuner

    model = tuner.load_model(
        keras_tuner.engine.trial.Trial(tuner.oracle.get_space(), trial_id=trial)
    )
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return 100 * model.evaluate(*test, verbose=0)[1]


def compress(parts, seed, directory):
    """Test accuracies of one seed: as it was, pruned, the student alone, and taught."""
    data, test = cut(parts, seed), part(parts["test"])
    pruned = searched(large, ["train", "prune"], seed, data, directory, sparsities=[FLAGS.sparsity])
    curve = pruned.decisions[-1].values.curve
    found = {
        "trained": scored(pruned, curve[0].trial, test),
        "pruned": scored(pruned, curve[1].trial, test),
    }
    ranked = pruned.oracle.get_best_trials(len(pruned.oracle.trials))
    teacher = pruned.load_model(next(trial for trial in ranked if trial.trial_id == curve[0].trial))
    taught = searched(small, ["train", "distill"], seed, data, directory, teacher=teacher)
    values = taught.decisions[-1].values
    best = max((each for each in values.grid if each.gain), key=lambda each: each.gain.gain)
    found |= {
        "student alone": scored(taught, values.alone, test),
        "taught": scored(taught, best.trial, test),
    }
    shown = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
    print(
        f"seed {seed}: {shown}. {pruned.decisions[-1].reason} {taught.decisions[-1].reason}",
        flush=True,
    )
    return found


def main(argv):
    """Prints a row for each of the two, over seeds."""
    from kerastune.data import sources

    parts, found = sources.read("fashion_mnist").parts, []
    for seed in range(1, FLAGS.seeds + 1):
        with tempfile.TemporaryDirectory() as directory:
            found.append(compress(parts, seed, directory))
    print(
        f"\n| {FLAGS.steps} steps, {FLAGS.seeds} seeds | before | after | gain in points "
        "|\n|---|---|---|---|"
    )
    pairs = {
        f"pruned to {100 * FLAGS.sparsity:g} %": ("trained", "pruned"),
        "taught": ("student alone", "taught"),
    }
    for name, (before, after) in pairs.items():
        one, other = (np.array([each[key] for each in found]) for key in (before, after))
        gain = other - one
        spread = gain.std(ddof=1) if len(gain) > 1 else 0.0
        means = f"{one.mean():.2f} % | {other.mean():.2f} %"
        print(
            f"| {name} | {means} | {gain.mean():+.2f} ± {spread:.2f} ({gain.min():+.2f} to "
            f"{gain.max():+.2f}) |"
        )


if __name__ == "__main__":
    flags.DEFINE_integer(
        "seeds", 5, "Repetitions, each with a cut of the data and weights of its own.", 1
    )
    flags.DEFINE_integer("steps", 3000, "Of each training, in batches of 64.", 100)
    flags.DEFINE_float("sparsity", 0.8, "Share of zeros.", 0, 0.99)
    app.run(main)
