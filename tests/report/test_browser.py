"""The page in a real browser, where there is one: nothing loaded, nothing run, readable at any width."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from evaluation.samples import made_up_histories, made_up_record

from report.test_confusion_section import many_labels
from report.test_report import CHARTS, HOSTILE, NASTY, SECTIONS, hostile_page, strips
from ulmfit.pipeline.printing import printable_page
from ulmfit.report.report import render_html

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LIGHT, DARK = 1, 0
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>\n')
CONTRAST = 4.5
"""WCAG 2.2, level AA, for text."""

MEASURE = """
const channels = colour => colour.match(/[\\d.]+/g).map(Number);
const over = (top, bottom) => top.slice(0, 3).map((c, i) => c * top[3] + bottom[i] * (1 - top[3]));
const opaque = colour => { const c = channels(colour); return c.length < 4 ? [...c, 1] : c; };
function behind(element) {
  const layers = [];
  for (let e = element; e; e = e.parentElement) layers.push(opaque(getComputedStyle(e).backgroundColor));
  return layers.reduceRight((below, layer) => over(layer, below), [255, 255, 255]);
}
const linear = c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const luminance = c => 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
function contrast(element, colour) {
  const back = behind(element), [a, b] = [luminance(over(opaque(colour), back)), luminance(back)];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}
function measure() {
  const folds = [...document.querySelectorAll('details.part')].map(part => {
    const summary = part.querySelector('summary');
    summary.focus();
    return [part.open, document.activeElement === summary];
  });
  document.querySelectorAll('details').forEach(details => details.open = true);
  const faint = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; node = texts.nextNode();) {
    const element = node.parentElement, style = getComputedStyle(element);
    if (!node.data.trim() || element.closest('style, title, script')) continue;
    const found = contrast(element, element.closest('svg') ? style.fill : style.color);
    const name = element.className.baseVal ?? element.className;
    if (found < LEAST) faint.push([found.toFixed(2), name, node.data]);
  }
  const boxes = [...document.querySelectorAll('svg.chart, svg.strip')].map(svg => {
    const box = svg.getBoundingClientRect();
    return [svg.classList[0], box.width, box.height, svg.getBBox().width];
  });
  const root = document.documentElement;
  const wide = [...document.querySelectorAll('body *')].filter(e =>
    !e.closest('.scroll, svg, pre') && e.getBoundingClientRect().right > root.clientWidth + 1);
  const bold = [...document.querySelectorAll('.results tbody tr')].filter(row =>
    [...row.cells].every(cell => getComputedStyle(cell).fontWeight >= 600));
  const matrices = [...document.querySelectorAll('table.matrix')].map(table => {
    const scroll = table.parentElement, cells = [...table.querySelectorAll('.cell')];
    scroll.scrollLeft = scroll.scrollWidth;
    const name = table.querySelector('tbody th').getBoundingClientRect();
    const box = scroll.getBoundingClientRect();
    return {
      room: box.width, needed: scroll.scrollWidth, names: name.width, left: name.left - box.left,
      font: Math.min(...cells.map(cell => parseFloat(getComputedStyle(cell).fontSize))),
      cut: cells.filter(cell => cell.scrollWidth > cell.clientWidth + 1).length,
    };
  });
  return {
    faint, boxes, folds, matrices, bold: bold.map(row => row.cells[0].innerText),
    wide: wide.map(e => e.tagName + '.' + e.className),
    width: [root.scrollWidth, document.body.scrollWidth, root.clientWidth],
    dark: matchMedia('(prefers-color-scheme: dark)').matches,
    resources: performance.getEntriesByType('resource').map(entry => entry.name),
    text: document.body.innerText, raw: document.body.textContent,
    elements: [...new Set([...document.querySelectorAll('*')].map(e => e.tagName.toLowerCase()))],
    alerted: window.alerted ?? 0,
  };
}
"""
HARNESS = """<script>window.alert = () => { window.alerted = (window.alerted ?? 0) + 1; };</script>"""


@pytest.fixture(scope="module")
def browser() -> str:
    """The path of a Chromium."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium on this machine")
    return found


def open_page(browser: str, path: Path, profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Load a page without a window; its DOM is on stdout, its console on stderr."""
    every = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    every += ["--disable-dev-shm-usage", "--enable-logging=stderr", f"--user-data-dir={profile}", *options]
    command = [browser, *every, "--dump-dom", path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def measured(
    browser: str, page: str, folder: Path, *, width: int = 1200, scheme: int = LIGHT
) -> dict[str, Any]:
    """Return what a script measured of a page in a frame of that width.

    Only for this a script is added and the page's policy, which would forbid it, taken out.
    """
    assert len(POLICY.findall(page)) == 1
    script = MEASURE.replace("LEAST", str(CONTRAST))
    script += "parent.postMessage(JSON.stringify(measure()), '*');"
    framed = POLICY.sub(HARNESS, page).replace("</body>", f"<script>{script}</script></body>")
    outer = (
        f'<!DOCTYPE html><meta charset="utf-8"><pre id="found"></pre><script>addEventListener("message", '
        f"event => document.getElementById('found').textContent = event.data);</script>"
        f'<iframe style="width: {width}px; height: 900px; border: 0" srcdoc="{html.escape(framed)}"></iframe>'
    )
    path = folder / "measuring.html"
    path.write_text(outer, encoding="utf-8")
    options = (f"--blink-settings=preferredColorScheme={scheme}", "--virtual-time-budget=5000")
    done = open_page(browser, path, folder / "profile", f"--window-size={width + 100},1000", *options)
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, flags=re.S)
    assert found and found[1], done.stderr
    assert "CONSOLE" not in done.stderr
    return json.loads(html.unescape(found[1]))


def test_page_opens_without_complaints(browser, tmp_path, page):
    path = tmp_path / "report.html"
    path.write_text(page, encoding="utf-8")
    done = open_page(browser, path, tmp_path / "profile")
    assert done.returncode == 0
    assert "CONSOLE" not in done.stderr
    assert len(re.findall(r'<svg class="chart', done.stdout)) == CHARTS
    assert len(re.findall(r'<table class="matrix"', done.stdout)) == 5
    assert "89.24" in done.stdout


def test_hostile_names_do_not_become_elements(browser, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(hostile_page(), encoding="utf-8")
    done = open_page(browser, path, tmp_path / "profile")
    assert done.returncode == 0
    assert "CONSOLE" not in done.stderr
    assert not re.search(r"<(script|img)\b", done.stdout)
    assert HOSTILE.partition('"')[0].replace("<", "&lt;").replace(">", "&gt;") in done.stdout


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_readable_at_any_width_in_both_schemes(browser, tmp_path, page, width, scheme):
    found = measured(browser, page, tmp_path, width=width, scheme=scheme)
    assert found["dark"] == (scheme == DARK)
    assert found["faint"] == []
    assert found["wide"] == []
    assert [name.split(" ensemble")[0] for name in found["bold"]] == ["ULMFiT, forward + backward"]
    assert found["folds"] == [[False, True]] * len(SECTIONS)
    assert max(found["width"]) <= width
    assert found["resources"] == []
    charts = [box for box in found["boxes"] if box[0] == "chart"]
    assert len(charts) == CHARTS
    assert len(found["boxes"]) == CHARTS + strips()
    assert all(min(box[1:]) > 10 for box in found["boxes"])


@pytest.mark.parametrize("width", [360, 1200])
def test_hostile_texts_are_shown_and_break_nothing(browser, tmp_path, width):
    found = measured(browser, hostile_page(), tmp_path, width=width)
    assert found["alerted"] == 0
    assert not {"img", "iframe", "object"} & set(found["elements"])
    assert found["resources"] == []
    assert found["wide"] == []
    assert max(found["width"]) <= width
    assert all(printable_page(text) in found["raw"] for text in NASTY)
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", found["raw"]), "nothing turns the direction"
    # Line ends of a text are kept where it is shown as it was written.
    assert re.search(r"one\ntwo\n+\s*three", found["text"])


@pytest.mark.parametrize("width", [390, 1280])
def test_a_matrix_of_fifteen_labels_is_readable(browser, tmp_path, width):
    """On a phone it scrolls: names stay in their place and leave most of the room to the numbers."""
    found = measured(browser, render_html(many_labels(15)), tmp_path, width=width)
    assert (found["wide"], found["faint"]) == ([], [])
    assert max(found["width"]) <= width
    (matrix,) = found["matrices"]
    assert (matrix["cut"], matrix["left"]) == (0, 0)
    assert matrix["font"] >= 11
    assert matrix["names"] < matrix["room"] / 3
    assert matrix["needed"] <= matrix["room"] or width == 390


def printed_pages(browser: str, page: str, folder: Path) -> int:
    path, pdf = folder / "report.html", folder / "report.pdf"
    path.write_text(page, encoding="utf-8")
    open_page(browser, path, folder / "profile", f"--print-to-pdf={pdf}")
    return len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes()))


def test_what_is_folded_is_printed(browser, tmp_path, page):
    folded = printed_pages(browser, page, tmp_path)
    assert folded == printed_pages(browser, page.replace("<details", "<details open"), tmp_path)
    assert folded > 4


def test_a_link_to_a_section_opens_it(browser, tmp_path, page):
    path = tmp_path / "report.html"
    path.write_text(page, encoding="utf-8")
    every = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command = [browser, *every, "--dump-dom", f"{path.as_uri()}#calibration"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    opened = re.findall(r'<details class="part" open="">\s*<summary><h2>([^<]+)</h2>', done.stdout)
    assert opened == ["Calibration"]


def test_page_of_an_old_record(browser, tmp_path):
    page = render_html(made_up_record(), made_up_histories())
    found = measured(browser, page, tmp_path, width=360, scheme=DARK)
    assert (found["faint"], found["wide"]) == ([], [])
    assert max(found["width"]) <= 360


def test_the_measurements_would_notice(browser, tmp_path, page):
    bad = page.replace(
        "</main>",
        '<p style="color: #999; background: #fff">pale</p><p style="width: 2000px">wide</p>'
        '<svg class="chart" style="width: 0"></svg></main>',
    )
    found = measured(browser, bad, tmp_path, width=360)
    assert [text for _, _, text in found["faint"]] == ["pale"]
    assert found["wide"]
    assert max(found["width"]) >= 2000
    assert min(found["boxes"][-1][1:]) == 0
