"""What data alone tell to be wrong is told before TensorFlow is imported, and soon."""

import os
import resource
import subprocess
import sys

import numpy as np
import pytest

import kerastune

# The seconds of a processor that a refusal takes: three, and as many again on a busy machine.
MOST_SECONDS = 6.0
SEEN = "atexit.register(lambda: open({!r}, 'w').write(str('tensorflow' in sys.modules)))\n"
ROWS = 200_000


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
    seen = tmp_path / "seen"
    (tmp_path / "sitecustomize.py").write_text(f"import atexit, sys\n{SEEN.format(str(seen))}")
    ours = os.path.dirname(os.path.dirname(kerastune.__file__))
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ours}"}
    label = ["--label=y"] if name.endswith(".csv") else []
    command = [sys.executable, "-m", "kerastune", "tune", f"--data={name}", *label]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(
        [*command, "--output_dir=out"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ended.returncode == 2 and words in ended.stderr
    assert "Traceback" not in ended.stderr and "Warning" not in ended.stderr
    assert seen.read_text() == "False"
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert spent < MOST_SECONDS
