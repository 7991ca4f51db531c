"""Runs programs of Keras users, as keras.io's examples have them, through `PlaybookTuner` beside a
plain fit: python runs/keras_programs.py --budget=3000steps.

Prints a table: whether it ran, and the score of the final model and of the plain fit on the test
part. `--only` names some of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable

from absl import app, flags

FLAGS = flags.FLAGS


def plain(program, seed: int) -> float:
    """The score of the user's own fit."""
    import keras

    keras.utils.set_random_seed(seed)
    model = program.build()
    validation = program.validation
    validation = validation[0] if len(validation) == 1 else validation
    model.fit(
        *program.training,
        validation_data=validation,
        epochs=program.epochs,
        verbose=0,
        **program.options,
    )
    return program.score(model, program.test)


def tuned(program, seed: int, budget: str, directory: str) -> float:
    """The score of the model that the search comes to."""
    import kerastune

    tuner = kerastune.PlaybookTuner(
        lambda hp: program.build(), budget=budget, directory=directory, seed=seed
    )
    validation = program.validation
    validation = validation[0] if len(validation) == 1 else validation
    tuner.search(*program.training, validation_data=validation, verbose=0, **program.options)
    return program.score(tuner.get_best_models()[0], program.test)


def row(make: Callable, seed: int, budget: str) -> tuple[str, str, str, str]:
    """Name, how it ended, score and plain score of a program."""
    program = make()
    mine = f"{plain(program, seed):.4g}"
    with tempfile.TemporaryDirectory() as directory:
        try:
            return make.__name__, "yes", f"{tuned(program, seed, budget, directory):.4g}", mine
        except Exception as error:  # the table says what every program came to
            return make.__name__, f"no: {type(error).__name__}: {error}"[:160], "-", mine


def main(argv) -> None:
    """Prints the table."""
    import programs_of_images
    import programs_of_tables

    programs = (*programs_of_images.PROGRAMS, *programs_of_tables.PROGRAMS)
    chosen = [make for make in programs if not FLAGS.only or make.__name__ in FLAGS.only]
    print("| program | ran | score | plain fit |\n|---|---|---|---|", flush=True)
    for make in chosen:
        print("| " + " | ".join(row(make, FLAGS.seed, FLAGS.budget)) + " |", flush=True)


if __name__ == "__main__":
    flags.DEFINE_string("budget", "3000steps", "Of each search.")
    flags.DEFINE_list("only", [], "Names of programs; all by default.")
    flags.DEFINE_integer("seed", 1, "Of weights and batches.", 0)
    app.run(main)
