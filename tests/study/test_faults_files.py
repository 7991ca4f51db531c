"""Files from elsewhere: whatever they hold, they are refused before any training."""

import io
import os
import pickle
import zipfile

import keras
import numpy as np
import pytest

from kerastune.cli import entry
from kerastune.report.predictions import Predictions
from kerastune.study.database import Study
from kerastune.study.run_directory import RunDir

MARK = "kerastune-was-here"


class Runs:
    """Leaves a mark when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, (MARK,)


def npy_header(shape):
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def zipped(**entries):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return stream.getvalue()


def saved(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


SOUND = saved(
    x_train=np.random.default_rng(0).random([40, 3], np.float32), y_train=np.arange(40) % 2
)
DATA = {
    "pickled.npz": saved(x_train=np.array([Runs()] * 40, object), y_train=np.arange(40) % 2),
    "pickle.npz": pickle.dumps(Runs()),
    "cut.npz": SOUND[:200],
    "flipped.npz": SOUND[:150] + bytes([SOUND[150] ^ 255]) + SOUND[151:],
    "empty.npz": b"",
    "no arrays.npz": zipped(**{"x_train.npy": b"no array", "y_train.npy": b""}),
    "promises.npz": zipped(
        **{"x_train.npy": npy_header((10**12, 10)), "y_train.npy": npy_header((10**12,))}
    ),
    "climbs.npz": zipped(**{f"../{MARK}": b"x", "x_train.npy": b"x"}),
    "quotes.csv": b'a,label\n"1,b\n2,c\n' * 20,
    "wide.csv": b"a,label\n" + b"1," * 200_000 + b"\n",
    "long.csv": b"a,label\n" + b"x" * 3_000_000 + b",b\n",
    "bytes.csv": b"a,label\n\xff\xfe,b\n" * 20,
    "empty.csv": b"",
}


@pytest.fixture(autouse=True)
def nothing_ran(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert not [*tmp_path.rglob(MARK)] and not (tmp_path.parent / MARK).exists()


def refused(capsys, *arguments):
    """What a command says when it refuses, in its one line."""
    assert entry.main([*arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert "Traceback" not in error and len(error.splitlines()) == 1 and len(error) < 1000, error[
        -1500:
    ]
    return error


@pytest.mark.parametrize("name", DATA)
def test_data_that_can_not_be_read_are_refused(tmp_path, capsys, name):
    (tmp_path / name).write_bytes(DATA[name])
    said = refused(
        capsys, "tune", f"--data={name}", "--label=label", "--output_dir=out", "--budget=1000steps"
    )
    words = (name.split(".")[0], "label", "column", "class")
    assert any(word in said for word in words), said
    assert not (tmp_path / "out").exists()


def lambda_model(path):
    layers = [
        keras.Input((64,)),
        keras.layers.Lambda(lambda x: x),
        keras.layers.Dense(10, "softmax"),
    ]
    keras.Sequential(layers).save(path)
    return path.read_bytes()


def changed_config(data, change):
    """The same archive with another `config.json`."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(old.read(name)) if name == "config.json" else old.read(name))
    return stream.getvalue()


def foreign_class(config):
    return config.replace(b'"class_name": "Dense"', b'"class_name": "mkdir"').replace(
        b'"keras.layers"', b'"os"'
    )


def models(tmp_path):
    plain = tmp_path / "plain.keras"
    keras.Sequential([keras.Input((64,)), keras.layers.Dense(10, "softmax")]).save(plain)
    sound = plain.read_bytes()
    return {
        "lambda": lambda_model(tmp_path / "made.keras"),
        "foreign": changed_config(sound, foreign_class),
        "deep": changed_config(sound, lambda config: b"[" * 100_000),
        "cut": sound[: len(sound) // 2],
        "none": b"",
        "pickle": pickle.dumps(Runs()),
        "climbs": zipped(**{f"../../{MARK}": b"x", "config.json": b"{}", "metadata.json": b"{}"}),
    }


@pytest.mark.parametrize("flag", ["pretrained", "teacher"])
def test_models_that_would_run_code_or_are_none_are_refused(tmp_path, capsys, flag):
    command = "tune" if flag == "pretrained" else "distill"
    for name, data in models(tmp_path).items():
        (tmp_path / f"{name}.keras").write_bytes(data)
        arguments = [
            command,
            "--data=digits",
            f"--{flag}={name}.keras",
            "--output_dir=out",
            "--budget=1000steps",
        ]
        refused(capsys, *arguments)
        assert not (tmp_path / "out" / "study.sqlite").exists()


@pytest.mark.parametrize(
    "data", [b"", b"x", SOUND[:100], saved(a=np.array([Runs()], object)), SOUND]
)
def test_a_report_whose_predictions_are_damaged_is_refused(tmp_path, capsys, data):
    run_dir = RunDir(tmp_path / "out")
    run_dir.open()
    Study(run_dir.study, run_dir.lock).close()
    run_dir.predictions.write_bytes(data)
    assert "predictions.npz is damaged" in refused(capsys, "report", "--output_dir=out")
    with pytest.raises(ValueError, match="damaged"):
        Predictions.from_bytes(data)


@pytest.mark.parametrize("text", ["[" * 100, "--hp=a=" + "[" * 100_000, "\0", "--nosuch=1"])
def test_a_flagfile_that_holds_anything_is_refused(tmp_path, capsys, text):
    (tmp_path / "hostile.flags").write_text(text)
    refused(capsys, "train", "--flagfile=hostile.flags", "--output_dir=out")


@pytest.mark.parametrize(
    "name", ["../x", "a/../../b", "a\nb", "x" * 300, "[x]*?", "ü", " ", ".", "con\0"]
)
def test_names_of_output_directories_stay_where_they_are(tmp_path, capsys, name):
    (tmp_path / "work").mkdir()
    os.chdir(tmp_path / "work")
    victim = tmp_path / "x"
    victim.write_text("precious")
    said = refused(capsys, "tune", "--data=nothing.npz", f"--output_dir={name}", "--overwrite")
    assert "output_dir" in said or "nothing.npz" in said
    assert victim.read_text() == "precious" and sorted(
        path.name for path in tmp_path.iterdir()
    ) == ["work", "x"]
