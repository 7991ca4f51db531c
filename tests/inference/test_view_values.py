"""Views as plain values, and back."""

import json

import numpy as np
import pytest

from kerastune.inference import views

X = np.random.default_rng(1).normal(size=[3, 8, 8, 1]).astype("float32")


@pytest.mark.parametrize("name, view", views.candidates((8, 8, 1)).items())
def test_a_view_survives_json(name, view):
    again = views.from_values(json.loads(json.dumps(views.to_values(view))))
    assert type(again) is type(view)
    np.testing.assert_array_equal(np.asarray(again(X)), np.asarray(view(X)))


def test_what_is_no_view_is_refused():
    with pytest.raises(ValueError, match="`Nonsense` is not a view"):
        views.from_values({"view": "Nonsense"})
