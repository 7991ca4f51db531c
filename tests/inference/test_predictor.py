"""The final model of a search is used on new rows as they come."""

import csv
import json
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import kerastune
from kerastune.cli import entry
from kerastune.data import loading, preprocessing
from kerastune.data.readers import image_files
from kerastune.export import usage_files
from kerastune.export.signatures import Service
from kerastune.inference import wording
from kerastune.playbook.decision import Decision
from kerastune.recipe import Recipe
from kerastune.study.run_directory import RunDir

NEW = pd.DataFrame(
    {
        "id": ["N1", "N2", "N3"],
        "day": ["31/12/2024", "", "soon"],
        "plan": ["pro", "other", None],
        "use (h)": ["1,200.5", "N/A", "7"],
        "note": ["late again", "zebra", ""],
    }
)


def table(folder):
    rows = [
        {
            "id": f"C{n}",
            "day": f"{n % 28 + 1}/{n % 12 + 1}/2024",
            "plan": ["basic", "pro", ""][n % 3],
            "use (h)": f"{1000 + 7 * n:,}",
            "note": f"late again with bill {n}" if n % 2 else f"all is well today {n}",
            "left": [" none", "yes "][n % 2],
            "price": f"{n * 1.5} %",
        }
        for n in range(60)
    ]
    path = folder / "people.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def finished(folder, problem, num_outputs):
    """What a search leaves: a model with its preparation, and files beside it."""
    run_dir = RunDir(folder)
    folder.mkdir()
    keras.utils.set_random_seed(3)
    shape = problem.train.x.shape[1:]
    end = "softmax" if problem.kind == "classification" else None
    layers = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(num_outputs, end)]
    problem.attach(keras.Sequential(layers)).save(run_dir.model)
    decision = Decision("start", Recipe(), Recipe(momentum=0.5), "Batch size 64", "It is good.")
    run_dir.result.write_text("{}")
    run_dir.recipe.write_text(json.dumps(Recipe(momentum=0.5).to_dict()))
    run_dir.decisions.write_text(json.dumps(decision.to_dict()) + "\n")
    figures = {"final": {"test": {"accuracy": 0.75}}}
    usage_files.write(run_dir, problem, figures, {"data": "people.csv", "model": "mlp"})
    return run_dir


@pytest.fixture(scope="module")
def churn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("churn")
    problem = loading.load(str(table(folder)), label="left", ignore=["price"])
    return finished(folder / "my out", problem, 2), problem


def test_new_rows_are_predicted_as_scikit_learn_does(churn):
    run_dir, problem = churn
    found = kerastune.load(run_dir.path)
    assert found.classes_.tolist() == ["none", "yes"] and found.recipe.momentum == 0.5
    assert found.decisions[0].headline == "Batch size 64"
    probabilities = found.predict_proba(NEW)
    assert probabilities.shape == (3, 2) and np.isfinite(probabilities).all()
    assert found.predict(NEW).tolist() == found.classes_[probabilities.argmax(axis=1)].tolist()
    np.testing.assert_allclose(found.predict_proba(dict(NEW)), probabilities, atol=1e-6)
    by_column = {name: NEW[name].tolist() for name in NEW}
    np.testing.assert_allclose(found.predict_proba(by_column), probabilities, atol=1e-6)


def test_what_is_predicted_is_what_was_trained_on(churn):
    run_dir, problem = churn
    found = kerastune.load(run_dir.path)
    frame = pd.read_csv(run_dir.path.parent / "people.csv", keep_default_na=False)
    prepared = np.concatenate([problem.train.x, problem.validation.x, problem.test.x])
    columns = found.batches(frame)
    apply = problem.attach.preparation.apply
    batch = next(columns).inputs
    names = {"use__h_": "use (h)"}
    again = apply({names.get(name, name): cells for name, cells in batch.items()})
    order = [np.flatnonzero((prepared == row).all(axis=1)) for row in again]
    assert all(len(rows) for rows in order)


def test_a_table_that_lacks_columns_is_refused_before_tensorflow(churn, tmp_path, capsys):
    run_dir, _ = churn
    NEW.drop(columns=["day", "plan"]).to_csv(tmp_path / "few.csv", index=False)
    few = tmp_path / "few.csv"
    arguments = ["predict", f"--output_dir={run_dir.path}", f"--data={few}"]
    assert entry.main(arguments) == 2
    assert "lacks the columns 'day', 'plan'; it has id, use (h), note" in capsys.readouterr().err
    assert entry.main([*arguments[:2], "--data=gone.csv"]) == 2
    assert "There is no file gone.csv" in capsys.readouterr().err


def test_the_command_keeps_ids_and_writes_probabilities(churn, tmp_path, monkeypatch):
    run_dir, _ = churn
    monkeypatch.setattr("kerastune.data.new_data.ROWS_AT_ONCE", 2)
    NEW.to_csv(tmp_path / "new.csv", index=False)
    out = tmp_path / "out.csv"
    arguments = [f"--output_dir={run_dir.path}", f"--data={tmp_path / 'new.csv'}"]
    assert entry.main(["predict", *arguments, f"--predictions={out}"]) == 0
    rows = list(csv.DictReader(open(out)))
    assert [row["id"] for row in rows] == ["N1", "N2", "N3"]
    assert list(rows[0]) == ["id", "predicted left", "probability none", "probability yes"]
    expected = kerastune.load(run_dir.path).predict_proba(NEW)
    given = [[float(row[f"probability {name}"]) for name in ("none", "yes")] for row in rows]
    np.testing.assert_allclose(given, expected, atol=1e-5)
    assert entry.main(["predict", *arguments]) == 0 and run_dir.new_predictions.is_file()


def test_labelled_rows_are_judged_with_intervals(churn, capsys):
    run_dir, _ = churn
    people = run_dir.path.parent / "people.csv"
    assert entry.main(["evaluate", f"--output_dir={run_dir.path}", f"--data={people}"]) == 0
    shown = capsys.readouterr().out
    assert "accuracy 0." in shown and "ROC AUC" in shown and "recall" in shown
    found = kerastune.load(run_dir.path).evaluate(people)["accuracy"]
    assert found["low"] < found["value"] < found["high"]


def test_a_threshold_is_told_where_it_is_one_of_this_model(churn):
    run_dir, _ = churn
    true, outputs = np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.5, 0.5], [0.6, 0.4]])
    before = run_dir.result.read_text()
    figures = json.loads(before)
    for judged, expected in (("calibrated", 0.3), ("final", None)):
        figures |= {"exported": {"model": "calibrated"}, "rare_class_model": judged}
        figures["rare_class"] = {"validation": {"class": 1, "threshold": 0.3}}
        run_dir.result.write_text(json.dumps(figures))
        found = kerastune.load(run_dir.path).rare_class(true, outputs)
        assert found.get("threshold") == expected and found["recall"] == 0
        lines = wording.rare_class(found, ["none", "yes"])
        assert sum("from a probability of 0.3000 on" in line for line in lines) == bool(expected)
    run_dir.result.write_text(before)


def test_the_script_and_the_card_are_true(churn):
    run_dir, _ = churn
    ran = subprocess.run(
        [sys.executable, run_dir.predict_script], capture_output=True, text=True, cwd="/"
    )
    assert ran.returncode == 0, ran.stderr
    found = kerastune.load(run_dir.path)
    first = pd.read_csv(run_dir.path.parent / "people.csv", keep_default_na=False, nrows=1)
    assert ran.stdout.split()[0] == found.predict(first)[0]
    card = run_dir.model_card.read_text()
    assert "| use (h) | number (1,234.5), input `use__h_` | 1,000 |" in card
    assert "kerastune predict --output_dir='my out' --data=new.csv" in card
    assert "| day | date (d/m/y) | 1/1/2024 |" in card and "| test | 0.7500 |" in card


def test_numbers_are_predicted_in_their_own_units(tmp_path):
    problem = loading.load(str(table(tmp_path)), label="price", ignore=["left"])
    found = kerastune.load(finished(tmp_path / "out", problem, 1).path)
    assert found.predict(NEW).shape == (3,)
    with pytest.raises(AttributeError, match="has no classes"):
        found.predict_proba(NEW)
    measured = found.evaluate(tmp_path / "people.csv")
    assert set(measured) == {"mae", "rmse", "r2"}


def test_folders_of_images_are_predicted_by_file(tmp_path):
    for name, color in (("dark", 40), ("light", 200)):
        (tmp_path / "all" / name).mkdir(parents=True)
        for number in range(8):
            Image.new("L", (9, 9), color).save(tmp_path / "all" / name / f"{number}.png")
    problem = loading.load(str(tmp_path / "all"), image_size=4)
    run_dir = finished(tmp_path / "out", problem, 2)
    found = kerastune.load(run_dir.path)
    assert found.predict(tmp_path / "all" / "dark").shape == (8,)
    assert found.evaluate(tmp_path / "all")["accuracy"]["value"] in (0.0, 0.5, 1.0)
    paths = sorted((tmp_path / "all" / "dark").glob("*.png"))
    expected = found.predict_proba(tmp_path / "all" / "dark")
    np.testing.assert_array_equal(found.predict_proba(paths), expected)
    for given in (
        np.full([8, 9, 9], 40, np.uint8),
        np.full([8, 30, 20, 1], 40.0),
        [np.full([4 + n, 5, 3], 40) for n in range(8)],
        np.full([8, 4, 4, 3], 40, np.uint8),
    ):
        np.testing.assert_array_equal(found.predict_proba(given), expected)
    for given, words in (
        (np.zeros([9, 9, 3], np.uint8), r"is that of one image: give several, as in x\[None\]"),
        (np.full([2, 9, 9, 3], 0.5), "values from 0 to 255, got 0.5 to 0.5"),
        (np.full([2, 9, 9], np.nan), "values from 0 to 255"),
        ([np.zeros([9, 9, 2])], "has the shape"),
        ([], "no images"),
    ):
        with pytest.raises(ValueError, match=words):
            found.predict(given)
    ran = subprocess.run(
        [sys.executable, run_dir.predict_script, tmp_path / "all" / "dark" / "1.png"],
        capture_output=True,
        text=True,
    )
    assert ran.stdout.split()[0] == found.predict(tmp_path / "all" / "dark" / "1.png")[0]


def test_a_saved_model_of_an_image_folder_resizes_images_inside(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 30, 20, 3)).astype(np.uint8)
    for number, image in enumerate(pixels):
        (tmp_path / "all" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "all" / "ab"[number % 2] / f"{number}.png")
    run_dir = finished(tmp_path / "out", loading.load(str(tmp_path / "all"), image_size=8), 2)
    model, found = keras.models.load_model(run_dir.model), kerastune.load(run_dir.path)
    (resizing,) = (each for each in model.layers if each.name == preprocessing.RESIZING)
    for given in (pixels, pixels[:, :9, :7], pixels[:, :5, :3], np.tile(pixels, (1, 4, 5, 1))):
        expected = np.stack([image_files.resized(each, 8) for each in given]).astype(int)
        apart = np.abs(keras.ops.convert_to_numpy(resizing(given)) - expected)
        # Pillow, which resized the training images, rounds some bytes otherwise.
        assert apart.max() <= 1 and (apart > 0).mean() < 0.3
    np.testing.assert_allclose(model.predict(pixels), found.predict_proba(pixels), atol=0.02)
    plain = model.predict(pixels)
    model.jit_compile = True  # as Keras has it on a GPU
    np.testing.assert_allclose(model.predict(pixels[:, :29]), model(pixels[:, :29]), atol=1e-5)
    np.testing.assert_allclose(model.predict(pixels), plain, atol=1e-5)
    of_size = preprocessing.of_training_size(model)
    assert of_size.input_shape == (None, 8, 8, 3)
    some = pixels[:, :8, :8]
    np.testing.assert_allclose(of_size.predict(some), model.predict(some), atol=1e-6)
    assert "any size, resized to 8 x 8 inside" in run_dir.model_card.read_text()
    served = Service(model, class_names=("a", "b"), examples=some)
    assert (served.picture.height, served.picture.width) == (8, 8)


def test_a_directory_without_a_finished_search_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no finished search"):
        kerastune.load(tmp_path)


class Own(keras.layers.Layer):
    def call(self, x):
        return 2 * x


def test_a_model_that_keras_can_not_load_ends_no_search(tmp_path, caplog):
    problem = loading.load("iris")
    run_dir = RunDir(tmp_path)
    keras.Sequential([keras.Input([4]), Own(), keras.layers.Dense(3)]).save(run_dir.model)
    usage_files.write(run_dir, problem, {}, {})
    assert not run_dir.predict_script.exists() and "predict.py was not written" in caplog.text
