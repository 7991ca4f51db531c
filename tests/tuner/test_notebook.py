"""The notebook of runs/, executed as a user would: quiet, with a result in every cell."""

import re

import pytest
from places import ROOT

nbclient = pytest.importorskip("nbclient", reason="nbclient is not here: pip install -e '.[test]'")
nbformat = pytest.importorskip("nbformat")
pytestmark = pytest.mark.slow


def shown(cell):
    """All that a cell shows, as one text."""
    texts = []
    for output in cell.outputs:
        texts.append(output.get("text", ""))
        texts += [str(text) for text in output.get("data", {}).values()]
    return "\n".join(texts)


def test_the_notebook_shows_progress_and_results_without_a_warning(tmp_path, monkeypatch):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")  # people have none
    notebook = nbformat.read(ROOT / "runs" / "notebook.ipynb", as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": tmp_path}}
    ).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    _, _, search, tuner, results, recipe, decision, plot, model = map(shown, code)
    assert len(code[2].outputs) == 1 and "ipywidgets" not in search  # one output, of one cell
    assert "Report: notebook-out/report.html" in search and "<progress" not in search
    assert "Keras&#x27;s defaults" in search and "Learning rate" in search
    assert "<table>" in tuner and "Keras&#x27;s defaults" in tuner
    assert "val_accuracy" in results and "learning_rate" in recipe and "<b>" in decision
    assert plot.count("<svg") >= 4 and "array([" in model
    for cell in code:
        streams = [each for each in cell.outputs if each.output_type == "stream"]
        assert not streams, streams
        assert not re.search("warning", shown(cell), re.IGNORECASE)
    assert (tmp_path / "notebook-out" / "trials.csv").read_text().startswith("trial,stage,")
