"""What data alone tell to be wrong is told before TensorFlow is imported, and soon."""

import dataclasses
import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

import kerastune
from kerastune.data.readers.columns import Column

# The seconds of a processor that a refusal takes: three, and as many again on a busy machine.
MOST_SECONDS = 6.0
SEEN = "atexit.register(lambda: open({!r}, 'w').write(str('tensorflow' in sys.modules)))\n"
ROWS = 200_000
CLASSES = {"name": "y", "kind": "category", "style": ""}


def table(path, labels):
    numbers = np.random.default_rng(0).normal(size=(ROWS, 4)).round(4).tolist()
    lines = (f"{a},{b},{c},{d},{y}\n" for (a, b, c, d), y in zip(numbers, labels, strict=True))
    path.write_text("a,b,c,d,y\n" + "".join(lines))


def of_infinite_target(path):
    table(path, ["inf", *(number / 2 for number in range(1, ROWS))])


def of_huge_target(path):
    table(path, [1e300 * (number % 7) for number in range(ROWS)])


def of_one_class(path):
    table(path, ["yes"] * ROWS)


def of_nan(path):
    x = np.zeros([60_000, 20], np.float32)
    x[-1, 0] = np.nan
    np.savez(path, x_train=x, y_train=np.arange(60_000) % 2)


def cut_off(path):
    of_nan(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    "make, name, words",
    [
        (of_infinite_target, "a.csv", "1 values that are NaN or infinite"),
        (of_huge_target, "a.csv", "values up to 6e+300, which are too large to compute with"),
        (of_one_class, "a.csv", "only one class (yes)"),
        (of_nan, "a.npz", "`x` of the training part has 1 values that are NaN or infinite"),
        (cut_off, "a.npz", "is not a .npz file"),
    ],
)
def test_bad_data_are_refused_before_tensorflow_is_imported(make, name, words, tmp_path):
    make(tmp_path / name)
    assert (tmp_path / name).stat().st_size < 10_000_000
    label = ["--label=y"] if name.endswith(".csv") else []
    said, spent = refused(tmp_path, "tune", f"--data={name}", *label, "--output_dir=out")
    assert words in said and spent < MOST_SECONDS


def test_cross_validation_refuses_bad_data_as_soon(tmp_path):
    of_nan(tmp_path / "a.npz")
    said, _ = refused(tmp_path, "crossval", "--data=a.npz", "--output_dir=out")
    assert "`x` of the training part has 1 values that are NaN" in said


def ragged(rows):
    return [*rows, "1,2,no,3"]


@pytest.mark.parametrize(
    "command, make, words",
    [
        ("predict", ragged, "Row 12001 of new.csv has 4 cells, expected 3"),
        ("predict", lambda rows: [], "new.csv has no examples that can be read"),
        ("evaluate", lambda rows: [*rows, "1,2,never"], "labels that are no class: never"),
        ("evaluate", lambda rows: [*rows, "1,2,"], "no 'y' in 1 rows, first in row 12001"),
    ],
)
def test_bad_new_data_are_refused_before_the_model_is_loaded(command, make, words, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/model.keras").write_bytes(b"never loaded")
    columns = [dataclasses.asdict(Column(name, "number", "plain")) for name in "ab"]
    reading = {"form": "table", "columns": columns, "label": columns[0] | CLASSES}
    about = {"kind": "classification", "classes": ["no", "yes"], "reading": reading}
    (tmp_path / "out/inputs.json").write_text(json.dumps(about))
    rows = make([f"{n},{n * n},{'no' if n % 2 else 'yes'}" for n in range(12_000)])
    (tmp_path / "new.csv").write_text("\n".join(["a,b,y", *rows, ""]))
    said, _ = refused(tmp_path, command, "--output_dir=out", "--data=new.csv")
    assert words in said


def refused(folder, *arguments):
    """What a command that has not imported TensorFlow says as it refuses, and its seconds."""
    seen = folder / "seen"
    (folder / "sitecustomize.py").write_text(f"import atexit, sys\n{SEEN.format(str(seen))}")
    ours = os.path.dirname(os.path.dirname(kerastune.__file__))
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ours}"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(
        [sys.executable, "-m", "kerastune", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr and "Warning" not in ended.stderr
    assert seen.read_text() == "False"
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return ended.stderr, spent
