"""Saved models find kerastune's classes by their registered names, wherever those classes are."""

import importlib
import re
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
from keras import layers
from places import ROOT

from kerastune.inference.views import Flip
from kerastune.models import saved_models

REGISTER = "@keras.saving.register_keras_serializable(package="


def test_every_module_that_registers_a_class_is_imported():
    packages = tuple(f"{name}." for name in saved_models.REGISTERING)
    for path in (ROOT / "kerastune").rglob("*.py"):
        if not re.search(f"^{re.escape(REGISTER)}", path.read_text(encoding="utf-8"), re.M):
            continue
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        assert f"{name}.".startswith(packages), f"{name} is not in REGISTERING"


def test_all_classes_are_registered_under_the_package_name():
    saved_models.import_registered()
    for name in ("Flip", "Noise", "Rotate", "TimeShift", "MacroF1", "LinearDecay"):
        assert keras.saving.get_registered_object(f"kerastune>{name}") is not None, name
    assert importlib.import_module("kerastune.inference.views").Flip is Flip


def moved(path, target):
    """A copy of a saved model whose classes were in other modules when it was saved."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                content = re.sub(rb'"kerastune\.[\w.]+"', b'"kerastune.elsewhere"', content)
                assert b"kerastune.elsewhere" in content
            new.writestr(name, content)
    return target


def test_a_model_loads_in_a_fresh_process_whatever_module_its_classes_were_in(tmp_path):
    shape = keras.Input([4, 4, 1])
    model = keras.Sequential([shape, Flip("horizontal"), layers.Flatten(), layers.Dense(2)])
    model.save(tmp_path / "model.keras")
    path = moved(tmp_path / "model.keras", tmp_path / "moved.keras")
    code = (
        "import sys, numpy as np; from kerastune.models import saved_models; "
        "x = np.arange(16.0).reshape(1, 4, 4, 1); "
        "print(saved_models.load(sys.argv[1])(x).numpy().sum())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, path], cwd=ROOT, capture_output=True, text=True
    )
    expected = np.asarray(model(np.arange(16.0).reshape(1, 4, 4, 1))).sum()
    assert float(ran.stdout.split()[-1]) == pytest.approx(expected, rel=1e-5), ran.stderr
