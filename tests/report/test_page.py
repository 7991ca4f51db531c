"""The page of a search: what stands on its first screen, its cards, its table, its figures."""

import dataclasses
import re

import numpy as np
import pytest
from test_report import ABOUT, EVIL, RESULT, Page, classes, findings, outcome

from kerastune.analysis.comparison import Comparison
from kerastune.objective import Objective
from kerastune.playbook.decision import Decision
from kerastune.playbook.stages.learning_rate import LearningRateValues
from kerastune.recipe import Recipe
from kerastune.report import html, live, page, trial_tables, writer
from kerastune.report.figures import learning_curves, plotting, result_figures, vector
from kerastune.report.status import Standing
from kerastune.report.summaries.alternatives import Alternative, Compared
from kerastune.study import run_directory
from kerastune.study.run_directory import RunDir
from kerastune.trial import Outcome, TrialSpec

ACCURACY = Objective("accuracy", "max")
STANDING = Standing("Running.", "Stopped. Continue with:", "kerastune tune --data=toy")


def scored(name, rate, scores, accuracy, stage="lr"):
    spec = TrialSpec(name, stage, Recipe(learning_rate=rate), 0, 100)
    losses = np.linspace(2, rate, 100, dtype=np.float32)
    evals = ({"step": 100, "loss": 1.0, "accuracy": accuracy},)
    return Outcome(spec, {"loss": losses}, evals=evals, seconds=2.0, example_scores=scores)


def compared():
    rng = np.random.default_rng(1)
    base = (rng.random(200) < 0.8).astype(np.float32)
    worse = np.where(np.arange(200) < 20, 0, base).astype(np.float32)
    return {"lr-0.1": scored("lr-0.1", 0.1, base, 0.8), "lr-1": scored("lr-1", 1.0, worse, 0.7)}


def searched(**changes):
    recipe = Recipe(learning_rate=0.1)
    chosen = Decision("lr", Recipe(), recipe, "Learning rate 0.1", "Why.", ("lr-0.1", "lr-1"))
    skipped = Decision("weights", recipe, recipe, "Class weights not tried", "None is rare.")
    given = {"decisions": [chosen, skipped], "outcomes": compared(), "objective": ACCURACY}
    return findings(**given, **changes)


def drawn_of(outcomes):
    (decision, _), values = searched().decisions, LearningRateValues(learning_rate=0.1)
    return writer.pictures_of_decisions([dataclasses.replace(decision, values=values)], outcomes)


def words_of(drawing):
    """The texts of a figure, whose long titles have several lines."""
    return " ".join(re.findall(r"<text[^>]*>([^<]*)", drawing.svg))


def rendered(found):
    return html.render("t", page.below(found), page.of(found))


def test_the_first_screen_has_verdict_figure_recipe_use_and_seconds():
    text = rendered(searched(use="import keras", predictions=classes()))
    first = text[text.index('id="result"') : text.index("<nav>")]
    assert '<p class="verdict better">+2 points of accuracy over Keras&#39;s defaults' in first
    assert "Test accuracy 0.7500 (95 % CI " in first and "learning rate 0.1" in first
    assert "import keras" in first and "lr 4.0 s (31 %)" in first
    assert "choosing, figures, saving 9.0 s (69 %)" in first


def test_a_card_tells_what_was_compared_and_a_skipped_stage_takes_one_line():
    card, skipped = page.of(searched()).cards
    assert card.question == "Which learning rate, and how many steps?" and not card.is_skipped
    assert card.compared.rows[0][0] == "learning rate 0.1 ✓"
    assert card.compared.header[-1] == "difference (95 % CI)"
    assert re.match(r"-[\d.]+ points \(-[\d.]+ to -[\d.]+\)$", card.compared.rows[1][-1])
    assert card.not_chosen[0].startswith("Not chosen: learning rate 1. It was -")
    assert skipped.is_skipped
    text = rendered(searched())
    assert '<section class="skipped" id="stage-weights">' in text
    assert "None is rare." in text and text.count('class="card"') == 1


def test_all_trials_are_in_one_sortable_table():
    text = rendered(searched())
    table = text[text.index('<table class="sortable">') :]
    assert table.count("<tr>") >= 3 and "lr-0.1" in table and 'aria-sort="none"' in table
    header, rows = page.of(searched()).trials.header, page.of(searched()).trials.rows
    assert header[:4] == ("trial", "stage", "optimizer", "learning rate")
    assert header[-1] == "validation accuracy" and rows[1][-1] == "0.7"


def test_a_running_page_loads_itself_again_and_a_finished_one_does_not():
    running = rendered(
        searched(result={}, standing=Standing("Running: stage batch is at work.", "So."))
    )
    assert 'data-running="yes"' in running and "Running: stage batch" in running
    assert "Recipe so far" in running and "not finished" in running
    assert 'data-running="no"' in rendered(searched())


def test_names_are_text_everywhere_on_the_page():
    about = {**ABOUT, "data": EVIL, "summary": EVIL, "notes": [EVIL]}
    trials = {EVIL: dataclasses.replace(outcome(), spec=TrialSpec(EVIL, "lr", Recipe(), 0, 100))}
    decision = Decision("lr", Recipe(), Recipe(), "So", EVIL, (EVIL,))
    found = findings(about=about, outcomes=trials, decisions=[decision], use=EVIL)
    text = html.render(EVIL, page.below(found), page.of(found))
    seen = Page(text)
    assert [tag for tag, _ in seen.tags].count("script") == 1
    assert "\x1b" not in text and "\u202e" not in text
    assert not [name for _, attributes in seen.tags for name in attributes if name.startswith("on")]


def test_where_a_learning_curve_ends_is_seen_beside_a_much_longer_one():
    far, axes = 0.2, plotting.panels(2)[1][0]
    plotting.limit(axes, [0.9, 0.91] * 50 + [far], 0.15, seen=[far, np.nan])
    assert axes.get_ylim()[0] < far


def test_a_figure_follows_the_pages_colors_and_width_and_its_names_are_its_own():
    figure = result_figures.spending({"$a<b>": (1, 1.0), "train": (2, 2.0)})
    svg = figure.svg
    assert svg.startswith("<svg") and not re.search(r"<svg[^>]* (width|height)=", svg)
    assert "var(--blue)" in svg and "currentColor" in svg and "#000000" not in svg
    assert "<script" not in svg and "&lt;b&gt;" in svg
    sizes = [float(size) for size in re.findall(r"font(?:-size)?: ([\d.]+)px", svg)]
    view = float(re.search(r'viewBox="0 0 ([\d.]+)', svg)[1])
    assert sizes and min(sizes) * 345 / view >= 11  # pixels on a phone that is 390 wide
    other = result_figures.spending({"other": (1, 1.0)}).svg
    identities = [set(re.findall(r'\bid="([^"]*)"', each)) for each in (svg, other)]
    assert identities[0] and not identities[0] & identities[1]
    for wanted in re.findall(r"url\(#([^)]*)\)", svg):
        assert wanted in identities[0]


def test_panels_of_a_figure_are_elements_of_one_width_and_lie_below_few_words():
    card, _ = page.of(searched()).cards
    panels = drawn_of(compared())
    svg = panels["lr"].svg
    views = [float(each) for each in re.findall(r'viewBox="0 0 ([\d.]+)', svg)]
    assert len(views) == svg.count("<svg") == 2 and len(set(views)) == 1
    first, second = svg.split("<svg")[1:]
    assert "Loss against rate" in first and "Loss against rate" not in second
    # Texts without a color of their own are those of the page, wherever it is.
    assert svg.count('<svg fill="currentColor"') == 2
    pictured = page.Picture("lr", "", panels["lr"])
    few = dataclasses.replace(card, picture=pictured)
    many = dataclasses.replace(few, not_chosen=("So.",) * 5)
    one = page.Picture("lr", "", plotting.Drawing(b"", f"<svg{first}"))
    assert dataclasses.replace(few, picture=one).is_beside
    assert [each.is_beside for each in (card, few, many)] == [False, False, True]


def test_a_title_stays_on_the_figure():
    figure, (axes,) = plotting.panels(2)
    axes.set_yticks([0.5], ["a label that takes as much of the width"])
    axes.set_title("A title that is much wider than its axes")
    plotting.png(figure)
    figure.draw_without_rendering()
    taken = axes.title.get_window_extent()
    assert taken.x0 >= 0 and taken.x1 <= figure.bbox.x1 + 0.5


def test_what_is_in_a_training_loss_alone_is_said_where_it_is_shown():
    smooth = {
        name: dataclasses.replace(
            each,
            spec=dataclasses.replace(
                each.spec, recipe=each.spec.recipe.replace(label_smoothing=0.1)
            ),
        )
        for name, each in compared().items()
    }
    plain, found = searched(), dataclasses.replace(searched(), outcomes=smooth)
    words = "(with label smoothing 0.1)"
    card = page.of(found).cards[0]
    assert card.compared.header[2] == f"training loss at step 100 {words}"
    sentence = "Training loss includes label smoothing 0.1, which validation loss does not."
    assert sentence in rendered(found)
    assert f"Loss against rate {words}" in words_of(drawn_of(smooth)["lr"])
    both = {"final": smooth["lr-1"], "baseline": compared()["lr-0.1"]}
    of_both = words_of(learning_curves.drawn(both, ACCURACY))
    assert "validation). Training loss (of final with label smoothing 0.1)" in of_both
    of_plain = words_of(drawn_of(compared())["lr"])
    assert "smoothing 0.1" not in of_plain + rendered(plain)


def test_a_chosen_setting_without_a_significant_gain_is_explained_on_its_card(monkeypatch):
    card, _ = page.of(searched()).cards
    gain = Comparison(0.01, -0.01, 0.03)
    row = Alternative("a", is_chosen=True, gain=gain)
    for low, is_explained in ((-0.01, False), (0.005, True)):
        found = dataclasses.replace(row, gain=dataclasses.replace(gain, low=low))
        compared_rows = Compared(rows=(found,))
        monkeypatch.setattr(page.alternatives, "of_decision", lambda *_, each=compared_rows: each)
        assert page.of(searched()).cards[0].is_explained == is_explained
    found = dataclasses.replace(card, is_explained=False)
    for each, is_folded in ((card, True), (found, False)):
        shown = dataclasses.replace(page.of(searched()), cards=(each,))
        text = html.render("t", [], shown)
        text = text[text.index('class="card"') :]
        assert (text.index("Why.") > text.index("<details")) == is_folded


def test_a_page_of_an_extension_says_first_that_its_result_is_the_one_before():
    told = Standing(
        "", "The extension by +60s stopped.", "kerastune tune", "What follows is older."
    )
    text = rendered(searched(standing=told))
    verdict = text.index('<p class="verdict')
    assert text.index("The extension by +60s stopped.") < text.index("is older.") < verdict
    assert text.count("The extension by +60s stopped.") == 1


def test_what_stands_on_a_heat_map_keeps_its_color():
    assert not {vector.INK_DARK, vector.INK_LIGHT} & set(vector.PROPERTIES)
    counts = np.array([[9, 1], [0, 5]])
    assert vector.INK_LIGHT in result_figures.confusion(counts, ("a", "b")).svg


def test_learning_curves_are_named_at_their_lines(monkeypatch):
    drawn, make = [], plotting.png
    monkeypatch.setattr(plotting, "png", lambda figure: drawn.append(figure) or make(figure))
    found = writer.learning_pictures(
        [], compared() | {"baseline": outcome("baseline")}, ACCURACY, "lr-1"
    )
    assert list(found) == ["learning"]
    upper, lower = drawn[0].axes
    names = {text.get_text() for text in upper.texts}
    assert names == {
        f"{model}, {part}" for model in ("final", "baseline") for part in ("training", "validation")
    }
    assert {text.get_text() for text in lower.texts} == {"final", "baseline"}
    places = sorted(text.xyann[1] for text in upper.texts)
    assert min(np.diff(places)) >= learning_curves.LEAST_GAP - 1e-9
    assert writer.learning_pictures([], {}, ACCURACY, None) == {}


def test_a_dot_is_where_the_weights_of_a_training_are_kept(monkeypatch):
    drawn, make = [], plotting.png
    monkeypatch.setattr(plotting, "png", lambda figure: drawn.append(figure) or make(figure))
    found = scored("train", 0.1, None, 0.8)
    evals = [
        {"step": step, "loss": loss, "accuracy": accuracy}
        for step, loss, accuracy in ((50, 0.5, 0.9), (100, 1.0, 0.8))
    ]
    spec = dataclasses.replace(found.spec, keep_best=True)
    found = dataclasses.replace(found, spec=spec, evals=tuple(evals))
    learning_curves.drawn({"final": found}, ACCURACY)
    dots = [
        [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "o"]
        for axes in drawn[0].axes
    ]
    assert dots == [[[[50, 0.5]]], [[[50, 0.9]]]]
    assert "(dot: kept weights)" in drawn[0].axes[1].get_title().replace("\n", " ")


def test_trials_are_written_as_values(tmp_path):
    rows = trial_tables.records(compared())
    assert rows[1]["learning_rate"] == 1.0 and rows[1]["val_accuracy"] == 0.7
    first, *lines = trial_tables.as_csv(rows).splitlines()
    assert first.startswith("trial,stage,val_loss,val_accuracy,loss,steps,") and len(lines) == 2
    failed = Outcome.failed(TrialSpec("x", "lr", Recipe(), 0, 100), ValueError("no"))
    assert trial_tables.records({"x": failed})[0]["loss"] is None


class Clock:
    """Every writing takes a second."""

    now = 0.0

    def __call__(self):
        self.now += 0.5
        return self.now


def write(reported, elapsed, outcomes=None, at_once=False):
    recipe = Recipe()
    decided = [Decision("start", recipe, recipe, "So", "it is")]
    found = live.SoFar(decided, outcomes or compared(), recipe, {}, STANDING, elapsed)
    return reported.write(found, at_once)


def test_a_live_report_is_there_from_the_start_and_takes_a_small_share(tmp_path):
    run_dir = RunDir(tmp_path)
    reported = live.LiveReport(run_dir, ABOUT, ACCURACY, draws=False, clock=Clock())
    assert write(reported, 0.0) and 'data-running="yes"' in run_dir.report.read_text()
    assert not write(reported, 49.0) and reported.seconds == 0.5
    assert write(reported, 51.0)


def test_a_live_report_that_cannot_be_written_is_told_once(tmp_path, caplog):
    reported = live.LiveReport(RunDir(tmp_path / "gone"), ABOUT, ACCURACY, False, Clock())
    for elapsed in (0.0, 1e6, 2e6):
        write(reported, elapsed)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_search_that_stops_does_not_leave_a_page_that_says_it_runs(tmp_path):
    run_dir = RunDir(tmp_path)
    reported = live.LiveReport(run_dir, ABOUT, ACCURACY, draws=False, clock=Clock())
    decided = []

    def latest():
        decided.append(write(reported, 0.0, {"lr-9": scored("lr-9", 0.1, None, 0.8)}, True))
        raise ZeroDivisionError

    with pytest.raises(KeyboardInterrupt), live.told_to_stop(run_dir, latest):
        write(reported, 0.0)
        raise KeyboardInterrupt
    assert (
        decided == [True] and "lr-9" in run_dir.report.read_text()
    )  # also what there was no time for while it ran
    with pytest.raises(KeyboardInterrupt), live.told_to_stop(run_dir, latest):
        raise KeyboardInterrupt
    assert decided == [True]  # a page that says so already, or of a finished search, stays
    text = run_dir.report.read_text()
    run_directory.mark_stopped(run_dir.report)  # as the command does when it leaves
    assert text == run_dir.report.read_text() and '[data-running="yes"] .stopped' in text
    assert 'data-running="no"' in text and 'data-running="yes"' not in text.split("<style>")[0]
    assert "<p>Stopped. Continue with:</p><pre><code>kerastune tune --data=toy</code>" in text
    (tmp_path / "other.html").write_text("mine")
    run_directory.mark_stopped(tmp_path / "other.html")
    assert (tmp_path / "other.html").read_text() == "mine"


def test_learning_curves_are_drawn_again_only_where_they_went_on(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(learning_curves, "drawn", lambda shown, metric: drawn.append([*shown]))
    reported = live.LiveReport(RunDir(tmp_path), ABOUT, ACCURACY)
    base = scored("baseline", 0.1, None, 0.8, "baseline")
    longer = dataclasses.replace(base, curves={"loss": np.ones(200, np.float32)})
    for elapsed, each in enumerate((base, base, longer)):
        assert write(reported, 1e6 * (1 + elapsed), {"baseline": each})
    assert drawn == [["baseline"], ["baseline"]]


def test_curves_of_the_running_page_stay_where_there_is_no_time_for_others(tmp_path):
    run_dir = RunDir(tmp_path)
    reported = live.LiveReport(run_dir, ABOUT, ACCURACY)
    assert write(reported, 0.0, {"baseline": scored("baseline", 0.1, None, 0.8, "baseline")})
    assert reported.learning_of("other") == reported.learning_of(None) == {}
    found = reported.learning_of("baseline")
    writer.write(run_dir, Studied(), writer.Drawn({}, False, False, False, found))
    assert found["learning"].svg in run_dir.report.read_text()


class Studied:
    """What a finished study answers."""

    decisions = staticmethod(lambda: [each.to_dict() for each in searched().decisions])
    outcomes = staticmethod(compared)
    fact = staticmethod({"result": RESULT, writer.ABOUT: ABOUT}.get)
    setting = staticmethod({"objective": "accuracy:max"}.get)


def test_a_decision_that_was_drawn_while_the_search_ran_is_not_drawn_again(tmp_path, monkeypatch):
    asked, png = [], plotting.png(plotting.panels(1)[0])
    figures = writer.decision_figures
    monkeypatch.setattr(figures, "of_decision", lambda each, _: asked.append(each.stage))
    writer.write(RunDir(tmp_path), Studied(), writer.Drawn({"lr": png}, result=False))
    assert asked == ["weights"] and png.svg in RunDir(tmp_path).report.read_text()
    writer.write(RunDir(tmp_path), Studied(), writer.Drawn({"lr": png}, False, False, False))
    assert asked == ["weights"]
    assert "No figures of the result: the budget was" in RunDir(tmp_path).report.read_text()
    monkeypatch.setattr(writer, "learning_pictures", lambda *_: {"learning": png})
    writer.write(RunDir(tmp_path), Studied(), writer.Drawn({"lr": png}, False, False))
    text = RunDir(tmp_path).report.read_text()
    assert "Learning curves" in text and "Some figures are missing: the budget" in text


def test_use_is_the_file_that_predicts_or_three_lines(tmp_path):
    assert page.use(tmp_path / "predict.py", tmp_path / "model.keras", ABOUT) == ""
    (tmp_path / "model.keras").touch()
    told = page.use(tmp_path / "predict.py", tmp_path / "model.keras", ABOUT)
    compile(told, "use", "exec")
    assert "argmax" in told
    (tmp_path / "predict.py").write_text("import mine\n")
    assert page.use(tmp_path / "predict.py", tmp_path / "model.keras", ABOUT) == "import mine\n"


@pytest.mark.parametrize("result", [{}, RESULT, {"stages": {}}])
def test_a_page_is_written_whatever_is_missing(result):
    nothing = findings(decisions=[], outcomes={}, result=result, recipe=None, about={})
    assert "<!doctype html>" in rendered(nothing)
