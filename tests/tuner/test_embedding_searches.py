"""Whole searches whose network embeds words or numbers: in processes, exported, and served."""

import json

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from kerastune.cli import entry
from kerastune.models import saved_models
from kerastune.study.run_directory import RunDir

WORDS = ("awful", "bad", "plain", "good", "great")


def texts(count=300):
    words = np.random.default_rng(1).integers(0, 5, (count, 6))
    said = [" ".join(WORDS[each] for each in row) for row in words]
    return pd.DataFrame({"said": said, "stars": words.mean(axis=1)})


def numbers(count=4000):
    x = np.exp(np.random.default_rng(1).normal(size=count))
    return pd.DataFrame({"income": x, "stars": np.sin(3 * np.argsort(np.argsort(x)) / count)})


@pytest.mark.slow
@pytest.mark.parametrize("make", [texts, numbers])
def test_what_a_search_in_processes_found_is_served_as_it_was_reported(make, tmp_path):
    table, output_dir = tmp_path / "table.csv", tmp_path / "out"
    frame = make()
    frame.to_csv(table, index=False)
    ran = ["tune", f"--data={table}", "--label=stars", "--kind=regression", "--budget=3000steps"]
    ran += ["--executor=processes", "--jobs=2", f"--output_dir={output_dir}"]
    assert entry.main(ran) == 0
    assert entry.main(["export", f"--output_dir={output_dir}"]) == 0
    result = json.loads((output_dir / "result.json").read_text())
    assert result["final"]["test"]["r2"] > 0.7
    served = tf.saved_model.load(str(output_dir / "export" / "out" / "1"))
    signature = served.signatures["serving_default"]
    (name,) = signature.structured_input_signature[1]
    given = tf.constant(frame[frame.columns[:1]].to_numpy())
    (answer,) = signature(**{name: given}).values()
    model = keras.models.load_model(saved_models.to_use(RunDir(output_dir)))
    kind = keras.layers.Embedding if make is texts else keras.layers.Normalization
    assert any(isinstance(each, kind) for each in model._flatten_layers())
    np.testing.assert_allclose(answer, np.reshape(model(given), answer.shape), rtol=1e-4, atol=1e-4)
