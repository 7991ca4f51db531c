"""Prints what fine-tuning is worth (S4.2, S4.3): python runs/benchmark_transfer.py --seeds=5.

A network learns the first five classes of Fashion-MNIST, then the other five from a few examples of
each. Every contestant has the same examples and the same budget of steps to find its rate and train
in: from scratch; all layers at one rate; and stage `finetune`.
"""

import pathlib
import tempfile

import numpy as np
from absl import app, flags

from kerastune.recipe import Recipe

FLAGS = flags.FLAGS
SHAPE = (28, 28, 1)
STAGES = {
    "from scratch": ["lr", "train"],
    "all at one rate": ["lr", "train"],
    "finetune": ["lr", "finetune", "train"],
}


def part(raw, classes):
    """Images in [0, 1] and integer classes from 0 on."""
    chosen = np.isin(raw.y, classes)
    return raw.x[chosen].reshape(-1, *SHAPE).astype("float32") / 255, raw.y[chosen].astype(
        int
    ) - min(classes)


def network(hp=None):
    """The built-in network, small."""
    from kerastune.models.hypermodels import networks

    return networks.cnn(SHAPE, 5, "classification", filters=8, dense_units=32)


def pretrain(parts, seed, path):
    """Trains the network on the first five classes."""
    import keras

    keras.utils.set_random_seed(seed)
    model = network()
    model.compile(
        "adam", "sparse_categorical_crossentropy", metrics=["accuracy"], steps_per_execution=50
    )
    model.fit(*part(parts["training"], range(5)), batch_size=64, epochs=FLAGS.epochs, verbose=0)
    known = model.evaluate(*part(parts["test"], range(5)), verbose=0)[1]
    print(f"seed {seed}: {known:.3f} on the first five", flush=True)
    model.save(path)


def few(parts, seed):
    """A few examples of each class to train on, some more to choose by."""
    x, y = part(parts["training"], range(5, 10))
    generator = np.random.default_rng(seed)
    rows = np.stack([generator.permutation(np.flatnonzero(y == each)) for each in range(5)])
    ends = FLAGS.examples, FLAGS.examples + FLAGS.validation
    chosen = rows[:, : ends[0]].ravel(), rows[:, ends[0] : ends[1]].ravel()
    return [(x[rows], y[rows]) for rows in chosen]


def accuracy(name, path, parts, seed, directory):
    """Test accuracy of one contestant, and what it decided."""
    from kerastune import PlaybookTuner
    from kerastune.models.hypermodels import Pretrained

    train, validation = few(parts, seed)
    recipe = Recipe(batch_size=16, learning_rate=0.03)
    model = network if name == "from scratch" else Pretrained(path)
    options = {"budget": FLAGS.budget, "recipe": recipe, "stages": STAGES[name], "seed": seed}
    tuner = PlaybookTuner(
        model, directory=directory, project_name=name.replace(" ", "-"), **options
    )
    test = part(parts["test"], range(5, 10))
    tuner.search(*train, validation_data=validation, test_data=test, verbose=0)
    found = tuner.result["final"]["test"]["accuracy"]
    print(
        f"seed {seed}, {name}: {found:.4f}. {tuner.decisions[len(STAGES[name]) - 2].reason}",
        flush=True,
    )
    return found


def main(argv):
    """Prints a table of accuracies over seeds, and the paired differences to `finetune`."""
    from kerastune.data import sources

    parts = sources.read("fashion_mnist").parts
    found = {name: [] for name in STAGES}
    for seed in range(1, FLAGS.seeds + 1):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "pretrained.keras"
            pretrain(parts, seed, path)
            for name, values in found.items():
                values.append(accuracy(name, path, parts, seed, directory))
    print(
        f"\n| {FLAGS.examples} examples a class, {FLAGS.seeds} seeds | test accuracy | finetune "
        "is better by |"
    )
    print("|---|---|---|")
    for name, values in found.items():
        gain = 100 * (np.array(found["finetune"]) - values)
        spread = (
            f"{100 * np.mean(values):.1f} ± "
            f"{100 * np.std(values, ddof=1) if len(values) > 1 else 0:.1f} %"
        )
        print(
            f"| {name} | {spread} | {gain.mean():+.1f} points ({gain.min():+.1f} to "
            f"{gain.max():+.1f}) |"
        )


if __name__ == "__main__":
    flags.DEFINE_integer(
        "seeds", 5, "Repetitions, each with a network, examples and weights of its own.", 1
    )
    flags.DEFINE_integer("examples", 50, "Of each class, to train on.", 1)
    flags.DEFINE_integer("validation", 100, "Of each class, to choose by.", 1)
    flags.DEFINE_integer("epochs", 2, "Of the first training.", 1)
    flags.DEFINE_string("budget", "4000steps", "Of each contestant.")
    app.run(main)
