"""Report and TensorBoard as a person sees them: in a browser."""

import functools
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from test_report import findings

from kerastune.cli import entry
from kerastune.playbook.decision import Decision
from kerastune.recipe import Recipe
from kerastune.report import html, page
from kerastune.report.status import Standing

webdriver = pytest.importorskip(
    "selenium.webdriver", reason="selenium is not here: pip install -e '.[test]'"
)
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (BROWSER and DRIVER), reason="no browser here: apt-get install chromium chromium-driver"
    ),
]
SWITCHES = (
    "headless=new no-sandbox disable-gpu disable-quic no-first-run "
    "disable-background-networking disable-sync"
)
WORDS_OF_ALL_SHADOWS = """
function words(node) {
  if (node.nodeType == 3) return node.textContent + ' ';
  if (['STYLE', 'SCRIPT'].includes(node.tagName)) return '';
  return [...(node.shadowRoot ? [node.shadowRoot] : []), ...node.childNodes].map(words).join('');
}
return words(document.body)"""

WIDTHS_OF_FIGURES = """
return [...document.querySelectorAll('figure svg')].filter(each => each.getClientRects().length)
  .map(each => each.getBoundingClientRect().width)"""
SMALLEST_TEXT = """
const scale = svg => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
return Math.min(...[...document.querySelectorAll('figure svg text')]
  .filter(each => each.getClientRects().length)
  .map(each => parseFloat(getComputedStyle(each).fontSize) * scale(each.ownerSVGElement)))"""


def is_shown(browser, words):
    return squeezed(words) in squeezed(browser.execute_script(WORDS_OF_ALL_SHADOWS))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    output_dir = tmp_path_factory.mktemp("searched") / "digits-out"
    arguments = ["--data=digits", "--model=mlp", "--budget=2500steps", f"--output_dir={output_dir}"]
    assert entry.main(["tune", *arguments]) == 0
    return output_dir


@pytest.fixture
def browser(tmp_path):
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for switch in [
        *SWITCHES.split(),
        f"user-data-dir={tmp_path / 'browser'}",
        "window-size=1400,1000",
    ]:
        options.add_argument(f"--{switch}")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def tensorboard(found):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        "-m",
        "tensorboard.main",
        f"--logdir={found / 'tensorboard'}",
        f"--port={port}",
        "--host=127.0.0.1",
    ]
    process = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}"
    try:
        waited_for(lambda: urllib.request.urlopen(f"{address}/data/logdir", timeout=5))
        yield address
    finally:
        process.terminate()
        process.wait()


def waited_for(look, what="TensorBoard", seconds=90):
    """What `look` gives once it gives something."""
    until = time.monotonic() + seconds
    while True:
        try:
            if seen := look():
                return seen
        except OSError:
            pass
        assert time.monotonic() < until, f"{what} is not to be seen"
        time.sleep(0.5)


@pytest.mark.parametrize("width", [390, 1280])
def test_the_report_shows_every_decision_and_picture(found, browser, width):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get((found / "report.html").as_uri())
    text = browser.execute_script("return document.body.textContent")
    for words in (
        "Which learning rate",
        "Which model is the final",
        "Keras's defaults",
        "Test acc",
    ):
        assert words in text
    pictures = browser.execute_script(WIDTHS_OF_FIGURES)
    assert len(pictures) >= 6 and all(300 < each <= 432 for each in pictures)
    assert browser.execute_script(SMALLEST_TEXT) >= 11
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.get_log("browser") == []  # nothing was refused or missing


def test_a_running_page_loads_itself_again_and_keeps_folds_and_scroll(browser, tmp_path):
    path = tmp_path / "report.html"
    numbers = " ".join(["It is so."] * 2000)
    decided = [
        Decision(name, Recipe(), Recipe(), "So", numbers) for name in ("start", "probe", "baseline")
    ]
    found = findings(
        decisions=decided,
        result={},
        standing=Standing("Running: stage lr is at work.", "Stopped at stage lr."),
    )
    path.write_text(html.render("first", page.below(found), page.of(found)))
    browser.get(path.as_uri())
    browser.execute_script("document.getElementById('fold-probe').open = true; scrollTo(0, 700)")
    browser.execute_script("filter.value = 'train'; filter.dispatchEvent(new Event('input'))")
    path.write_text(html.render("second", page.below(found), page.of(found)))
    waited_for(lambda: browser.title == "second", "the new page", 20)
    state = "return [document.getElementById('fold-probe').open, scrollY, filter.value]"
    waited_for(lambda: browser.execute_script(state) == [True, 700, "train"], "what was kept", 5)
    assert not browser.execute_script("return document.getElementById('fold-start').open")
    over = findings(decisions=decided)
    path.write_text(html.render("third", page.below(over), page.of(over)))
    waited_for(lambda: browser.title == "third", "the last page", 20)
    browser.execute_script("document.querySelector('table.sortable th button').click()")
    order = "return document.querySelector('th[aria-sort=ascending]').textContent"
    assert browser.execute_script(order) == "trial"
    assert browser.get_log("browser") == []


def test_tensorboard_shows_curves_pictures_and_decisions(tensorboard, browser):
    for tab, words in (
        ("timeseries", ("decisions", "trials/03-baseline/baseline", "04-lr")),
        ("scalars", ("trials/03-baseline/baseline", "step/loss")),
        ("text", ("04-lr", "to begin with")),  # the first groups are open
        ("images", ("04-lr", "result/confusion")),
        ("hparams", ("learning_rate", "validation/accuracy")),
    ):
        browser.get("about:blank")
        browser.get(f"{tensorboard}/#{tab}")
        for each in words:
            waited_for(functools.partial(is_shown, browser, each), each)


def squeezed(text):
    """Text without the blanks at which TensorBoard lets a name break."""
    return "".join(text.split())
