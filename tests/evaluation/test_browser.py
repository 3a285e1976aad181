"""The page in a real browser, where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from evaluation.test_report import HOSTILE, hostile_page

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser() -> str:
    """The path of a Chromium."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium on this machine")
    return found


def open_page(browser: str, path, profile) -> subprocess.CompletedProcess[str]:
    """Load a page without a window; its DOM is on stdout, its console on stderr."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    options += ["--disable-dev-shm-usage", "--enable-logging=stderr", f"--user-data-dir={profile}"]
    command = [browser, *options, "--dump-dom", path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_page_opens_without_complaints(browser, tmp_path, page):
    path = tmp_path / "report.html"
    path.write_text(page, encoding="utf-8")
    done = open_page(browser, path, tmp_path / "profile")
    assert done.returncode == 0
    assert "CONSOLE" not in done.stderr
    assert len(re.findall(r'<svg class="chart"', done.stdout)) == 5
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
