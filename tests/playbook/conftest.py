"""What is known of other tasks is what a test says, and not what the file of priors holds today."""

import pytest

from kerastune.playbook.rules import expected_gain


def known(**held):
    return {"source": "", "seed_std": {}, "changes": {}, "gains": {}, "gains_of": {}, **held}


@pytest.fixture(autouse=True, scope="module")
def nothing_recorded():
    """Nothing is known, for what tests of one file share, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(expected_gain, "_recorded", known)
        yield


@pytest.fixture
def recorded(monkeypatch):
    """Sets what was recorded on other tasks, for one test."""

    def put(**held):
        monkeypatch.setattr(expected_gain, "_recorded", lambda: known(**held))

    return put
