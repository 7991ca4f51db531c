"""A new version is compared with the one that is served before its number appears."""

import keras
import numpy as np
import pytest

from kerastune.export import canary, warmup
from kerastune.export.saved_model import export

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=[300, 4]).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)


def classifier(weight, units=2):
    model = keras.Sequential([keras.Input([4]), keras.layers.Dense(units, "softmax")])
    kernel = np.zeros([4, units], np.float32)
    kernel[0, 1] = weight
    model.set_weights([kernel, np.zeros(units, np.float32)])
    return model


def regressor(weight):
    model = keras.Sequential([keras.Input([4]), keras.layers.Dense(1)])
    model.set_weights([np.full([4, 1], weight, np.float32), np.zeros(1, np.float32)])
    return model


def exported(model, base, **settings):
    names = ("no", "yes", "maybe")[: model.output_shape[-1]] if model.output_shape[-1] > 1 else ()
    return export(model, base, "mine", class_names=names, examples=X, **settings)


def test_what_differs_is_told_before_the_new_number_appears(tmp_path, caplog, monkeypatch):
    old, there, compare = exported(classifier(-1.0), tmp_path), [], canary.compared
    monkeypatch.setattr(
        canary,
        "compared",
        lambda *given: there.append((tmp_path / "mine/2").exists()) or compare(*given),
    )
    with caplog.at_level("INFO", logger="kerastune"):
        new = exported(classifier(1.0), tmp_path, against=old, labelled=(X, Y))
    assert new.name == "2" and there == [False]
    first, second = [text for text in caplog.messages if "recorded" in text or "label" in text]
    assert first.startswith("Compared with version 1 on 2 recorded requests: ")
    assert "33 of 33 classes differ" in first and "33 of 33 labels differ" in first
    p = 1 / (1 + np.exp(-X[[0, *range(32)], 0].astype(np.float64)))
    by = np.abs(2 * p - 1)
    assert f"probabilities differ by at most {by.max():.3g}, {by.mean():.3g} on av" in first
    assert second == (
        "On 300 labelled examples: accuracy 0.0000 before, 1.0000 now: +100 points of accuracy "
        "(95 % CI +100 to +100)."
    )


def test_numbers_are_compared_by_their_error(tmp_path):
    old = exported(regressor(1.0), tmp_path)
    new = exported(regressor(1.5), tmp_path)
    known = canary.Labelled({"inputs": X}, X.sum(1, dtype=np.float64))
    first, second = canary.compared(old, new, known)
    assert "predictions differ by at most" in first
    assert "MAE 0.0000 before, " in second and " of MAE (95 % CI +" in second


@pytest.mark.parametrize("size", [32, 500])
def test_models_of_one_batch_size_are_compared_on_all_labelled_examples(tmp_path, caplog, size):
    def fixed(weight):
        x = keras.Input(batch_shape=(size, 4), name="inputs")
        model = keras.Model(x, keras.layers.Dense(2, "softmax")(keras.ops.reshape(x, (size, 4))))
        model.set_weights(classifier(weight).get_weights())
        return model

    old = exported(fixed(-1.0), tmp_path)
    with caplog.at_level("INFO", logger="kerastune"):
        exported(fixed(1.0), tmp_path, against=old, labelled=(X, Y))
    assert "on 1 recorded requests: " in caplog.text
    assert f"{size} of {size} classes differ" in caplog.text
    assert "On 300 labelled examples: accuracy 0.0000 before, 1.0000 now" in caplog.text
    with pytest.raises(
        ValueError, match=rf"float32\[{size}, 4\] .*that of the new version .*\[n, 4"
    ):
        exported(classifier(1.0), tmp_path, against=old)


def test_another_signature_is_refused_and_leaves_nothing(tmp_path):
    old = exported(classifier(1.0), tmp_path)
    with pytest.raises(ValueError, match=r"probabilities float32\[n, 2\].*\[n, 3\]; cl") as refused:
        exported(classifier(1.0, units=3), tmp_path, against=old)
    assert "\n" not in str(refused.value)
    assert [each.name for each in (tmp_path / "mine").iterdir() if each.is_dir()] == ["1"]
    (old / "assets.extra" / warmup.FILE).unlink()
    with pytest.raises(ValueError, match="holds no recorded requests"):
        exported(classifier(1.0), tmp_path, against=old)


def test_requests_are_read_back_as_they_were_written(tmp_path):
    requests = [("a", {"x": X[:3], "t": np.array([b"\xff", b""], object)}), ("b", {"x": X[:1]})]
    warmup.write(tmp_path, "mine", requests)
    for (name, inputs), (wanted, given) in zip(
        warmup.read(tmp_path / warmup.FILE), requests, strict=True
    ):
        assert name == wanted and inputs.keys() == given.keys()
        for key, array in given.items():
            np.testing.assert_array_equal(inputs[key], array)
    (tmp_path / "other").write_bytes(b"no record" * 10)
    with pytest.raises(ValueError, match="holds no requests"):
        warmup.read(tmp_path / "other")
