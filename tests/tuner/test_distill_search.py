"""`kerastune distill`: a small network, and a large one that teaches it."""

import json
import zipfile

import keras
import numpy as np
import pytest
from test_trainer import PLAIN, build, problem

from kerastune.cli import entry
from kerastune.data import loading
from kerastune.objective import Objective
from kerastune.problem import Part, Problem
from kerastune.study.database import Record
from kerastune.training import distillation
from kerastune.training.trainer import Trainer
from kerastune.trial import TrialSpec
from kerastune.tuner import teachers

GIVEN = (
    "--data=wine",
    "--batch_size=16",
    "--total_steps=100",
    "--learning_rate=0.01",
    "--model=mlp",
)


def run(*arguments):
    return entry.main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A teacher of raw inputs, prepared inside, that is right on nearly all of wine."""
    keras.utils.set_random_seed(1)
    prepared = loading.load("wine")
    network = keras.Sequential(
        [keras.Input([13]), keras.layers.Dense(32, "relu"), keras.layers.Dense(3, "softmax")]
    )
    network.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    network.fit(prepared.train.x, prepared.train.y, epochs=15, verbose=0)
    path = tmp_path_factory.mktemp("teacher") / "teacher.keras"
    prepared.attach(network).save(path)
    return path


def test_the_student_takes_what_the_teacher_takes(teacher):
    prepared, raw = (
        loading.load("wine"),
        loading.load("wine", standardize=False, for_own_model=True),
    )
    student = lambda hp: keras.Sequential([keras.Input([13]), keras.layers.Dense(3, "softmax")])  # noqa: E731
    from keras_tuner import HyperParameters

    from kerastune.models import hypermodels

    joined, hypermodel = teachers.of_raw_inputs(prepared, raw, hypermodels.BuildFunction(student))
    assert joined.attach is None and (joined.train.y == prepared.train.y).all()
    assert joined.train.x.max() > 1000  # proline, in its own units
    loaded = teachers.load(teacher)
    assert (
        np.mean(loaded.predict(joined.validation.x, verbose=0).argmax(1) == joined.validation.y)
        > 0.9
    )
    model = hypermodel.build(HyperParameters())
    np.testing.assert_allclose(
        model.predict(joined.validation.x, verbose=0),
        model.layers[-1].predict(prepared.validation.x, verbose=0),
        atol=1e-5,
    )


@pytest.mark.slow
def test_distill_compares_decides_and_leaves_a_model_without_teacher(teacher, tmp_path, capsys):
    out = tmp_path / "out"
    assert (
        run("distill", *GIVEN, f"--teacher={teacher}", "--hp=units=8", f"--output_dir={out}") == 0
    )
    told = json.loads((out / "distill.json").read_text())
    assert len(told["grid"]) == 4 and told["numbers"].startswith("The best of 4 settings")
    with Record(out / "study.sqlite") as record:
        outcomes = record.outcomes()
        assert [d["stage"] for d in record.decisions()] == ["train", "distill"]
    assert outcomes["distill-t4-m0.9"].spec.mix == 0.9
    # With a teacher the same seed learns otherwise, and one setting otherwise than another.
    finals = {name: outcome.losses[-1] for name, outcome in outcomes.items()}
    assert len(set(finals.values())) == len(finals)
    model = keras.models.load_model(out / "model.keras")
    raw = loading.load("wine", standardize=False, for_own_model=True)
    assert np.mean(model.predict(raw.test.x, verbose=0).argmax(1) == raw.test.y) > 0.8
    with zipfile.ZipFile(out / "model.keras") as archive:
        assert b"kerastune" not in archive.read("config.json")
    assert "Does a teacher help?" in (out / "report.md").read_text()
    assert (out / "report" / "stage-distill.png").is_file()
    # Again: nothing is trained; with another teacher: refused.
    capsys.readouterr()
    assert (
        run("distill", *GIVEN, f"--teacher={teacher}", "--hp=units=8", f"--output_dir={out}") == 0
    )
    assert "distill-t2-m0.5: sgd" not in capsys.readouterr().out
    other = keras.models.load_model(teacher)
    other.layers[-1].set_weights([2 * value for value in other.layers[-1].get_weights()])
    other.save(tmp_path / "other.keras")
    assert (
        run(
            "distill",
            *GIVEN,
            f"--teacher={tmp_path / 'other.keras'}",
            "--hp=units=8",
            f"--output_dir={out}",
        )
        == 2
    )
    assert "`--teacher` was" in capsys.readouterr().err


def test_what_can_not_teach_is_refused_before_any_training(teacher, tmp_path, capsys):
    broken = tmp_path / "broken.keras"
    broken.write_bytes(b"no model")
    for arguments, words in (
        ([], "`--teacher` must name a .keras file"),
        ([f"--teacher={broken}"], "`--teacher` ("),
        ([f"--teacher={teacher}", "--data=diabetes"], "`--teacher` must be a classifier"),
    ):
        assert run("distill", *GIVEN, *arguments, f"--output_dir={tmp_path / 'out'}") == 2
        assert words in capsys.readouterr().err


def test_the_trainer_teaches_by_the_numbers_of_the_trial():
    teacher = build({"units": 16})
    trainer = Trainer(problem(), build, Objective("accuracy", "max"))
    trainer.teacher = teacher
    losses = {}
    for mix, temperature in ((0.0, 1.0), (0.5, 2.0), (1.0, 4.0)):
        spec = TrialSpec(
            f"m{mix}",
            "distill",
            PLAIN,
            0,
            100,
            50,
            keep_best=True,
            mix=mix,
            temperature=temperature,
        )
        outcome, _, best = trainer.run(spec)
        losses[mix] = outcome.losses[0]
    x, y = problem().train.x, problem().train.y
    from kerastune.data import batches

    rows = batches.order(len(x), PLAIN.batch_size, PLAIN.seed, 0, 1)
    student = trainer.ready_model(PLAIN)
    for variable, value in zip(student.variables, trainer.initial_state(PLAIN), strict=True):
        variable.assign(value)
    said = [distillation.log_probabilities(model(x[rows]), False) for model in (teacher, student)]
    hard = float(np.mean(keras.losses.sparse_categorical_crossentropy(y[rows], student(x[rows]))))
    soft = {t: float(np.mean(distillation.soft_loss(*said, t))) for t in (2.0, 4.0)}
    assert losses[0.0] == pytest.approx(hard, rel=1e-4)
    assert losses[0.5] == pytest.approx((hard + soft[2.0]) / 2, rel=1e-4)
    assert losses[1.0] == pytest.approx(soft[4.0], rel=1e-4)


def test_where_nothing_is_prepared_the_task_stays_what_it_is():
    part = Part(np.zeros([9, 4]), np.arange(9) % 3)
    plain = Problem("toy", "classification", part, part, class_names=("a", "b", "c"))
    assert teachers.of_raw_inputs(plain, plain, "model") == (plain, "model")
