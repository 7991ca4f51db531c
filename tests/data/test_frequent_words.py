"""Words of a text column: how many become inputs."""

import numpy as np

from kerastune.data.encoding import words


def test_very_many_texts_have_fewer_words(monkeypatch):
    texts = np.array([f"a{n} b{n}" for n in range(2000)] * 3, object)
    assert len(words.frequent(texts)) == words.MOST_WORDS
    monkeypatch.setattr(words, "MOST_CELLS", 1000 * len(texts))
    assert len(words.frequent(texts)) == 1000
    monkeypatch.setattr(words, "MOST_CELLS", 1)
    assert len(words.frequent(texts)) == words.FEWEST_WORDS
