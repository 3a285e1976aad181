"""The page of the service in a real browser: by keyboard, on a phone, in both colour schemes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from report.test_browser import BROWSERS, CONTRAST, MEASURE
from untrained_bundles import make_bundle

from serve.browsing import Browser, browsing
from serve.running import Running, running
from ulmfit import TextClassifier
from ulmfit.serve.app import PAGE, policy
from ulmfit.serve.settings import ServeSettings

HOSTILE = "<img src=x onerror=alert(1)>"
TEXT = f"kalomi dusapo {HOSTILE} <script>alert(1)</script> {'lo' * 200} &amp; Łódź 😀"
DONE = "document.getElementById('status').textContent.match(/\\.$/)"
FAULT = "document.getElementById('fault').textContent"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium on this machine")
    with browsing(path, tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture(scope="module")
def hostile(tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service whose labels look like HTML."""
    labels = (HOSTILE, "yes " + "x" * 100)
    folder = make_bundle(tmp_path_factory.mktemp("hostile") / "made", tokenizer, labels=labels, name=HOSTILE)
    settings = ServeSettings(longest_text=1_000)
    with running(TextClassifier.load(folder, device="cpu"), settings) as service:
        yield service


def text_of(browser: Browser, name: str) -> str:
    return browser.evaluate(f"document.getElementById({json.dumps(name)}).textContent")


def focused(browser: Browser) -> str:
    return browser.evaluate("document.activeElement.id")


@pytest.mark.parametrize(("width", "dark"), [(390, True), (1280, False)])
def test_a_text_is_classified_by_keyboard_at_any_width_in_both_schemes(
    browser: Browser, hostile: Running, width: int, dark: bool
) -> None:
    browser.open(hostile.address, width=width, dark=dark)
    browser.press("Tab")
    assert focused(browser) == "text"
    browser.type(TEXT)
    browser.press("Tab")
    assert focused(browser) == "send"
    browser.press("Enter")
    browser.wait_for(DONE)
    predicted = hostile.post("/predict", {"text": TEXT}).json["predictions"][0]
    explained = hostile.post("/explain", {"text": TEXT}).json
    assert text_of(browser, "answer") == f"Label: {predicted['label']}"
    shares = sorted(predicted["probabilities"].values(), reverse=True)
    assert re.findall(r"(\d+\.\d) %", text_of(browser, "probabilities")) == [
        f"{100 * one:.1f}" for one in shares
    ]
    assert text_of(browser, "marked").split() == " ".join(word for word, _ in explained["words"]).split()
    found = browser.evaluate(f"{MEASURE.replace('LEAST', str(CONTRAST))}; measure()")
    assert (found["dark"], found["faint"], found["wide"]) == (dark, [], [])
    assert max(found["width"]) <= width
    assert not {"img", "iframe"} & set(found["elements"])
    assert {name.removeprefix(hostile.address) for name in found["resources"]} <= {
        "/health",
        "/predict",
        "/explain",
    }
    assert browser.complaints() == []


def test_results_and_faults_are_said_aloud(browser: Browser, hostile: Running) -> None:
    browser.open(hostile.address)
    assert browser.evaluate("document.getElementById('status').getAttribute('aria-live')") == "polite"
    assert browser.evaluate("document.getElementById('fault').getAttribute('role')") == "alert"
    browser.press("Tab")
    browser.press("Enter", control=True)
    browser.wait_for(FAULT)
    assert text_of(browser, "fault") == "There is no text yet."
    browser.type("ka " * 400)
    browser.wait_for("document.getElementById('text').getAttribute('aria-invalid') == 'true'")
    assert text_of(browser, "hint") == "1,200 characters, 1,000 at most."
    browser.press("Enter", control=True)
    browser.wait_for(f"{FAULT}.startsWith('No answer')")
    assert text_of(browser, "fault") == "No answer: text 1 has 1,200 characters, expected 1,000 at most."
    assert browser.evaluate("document.getElementById('result').hidden")


def test_a_text_that_is_too_long_for_words_still_has_a_label(
    browser: Browser, classifier: TextClassifier
) -> None:
    with running(classifier, ServeSettings(most_explained=1)) as service:
        browser.open(service.address)
        browser.press("Tab")
        browser.type("kalomi")
        browser.press("Enter", control=True)
        browser.wait_for(DONE)
        assert re.search(r"^Label: (no|yes), .*No words are shown: .*too long", text_of(browser, "status"))
        assert browser.evaluate("document.getElementById('explained').hidden")


def test_the_policy_allows_the_page_itself_and_nothing_else(service: Running) -> None:
    answer = service.ask("GET", "/")
    given = answer.headers["content-security-policy"]
    assert given == policy(PAGE.read_text("utf-8"))
    assert given.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in given
    assert len(re.findall("sha256-", given)) == 2
    assert not re.search(rb"(src|href)=\"(?!data:,)", answer.body)
