"""Every block of docs/using-a-model.md does what it says."""

from __future__ import annotations

import argparse
import io
import re
import shlex
import sys
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pandas
import pytest
from bundles_for_tests import Made, in_the_folder_of_a_run
from hub_for_tests import Hub
from serve.running import running

from ulmfit import TextClassifier
from ulmfit.cli.app import app
from ulmfit.serve.settings import ServeSettings

PAGE = Path(__file__).parents[2] / "docs" / "using-a-model.md"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


class Services:
    """The services that a page starts: each runs until the page is done, on a free port."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.port = 0

    def start(self, command: str) -> None:
        """Run `ulmfit serve …`."""
        _, _, *arguments = shlex.split(command)
        classifier = TextClassifier.load(*arguments, device="cpu")
        self.port = self._stack.enter_context(running(classifier, ServeSettings())).port

    def ask(self, command: str) -> str:
        """Do what `curl` would with -H, -d and an address; return the answer."""
        parser = argparse.ArgumentParser()
        parser.add_argument("-H", dest="header")
        parser.add_argument("-d", dest="body")
        parser.add_argument("address")
        given = parser.parse_args(shlex.split(command)[1:])
        headers = dict([given.header.split(": ")]) if given.header else {}
        address = given.address.replace(":8000", f":{self.port}")
        asked = urllib.request.Request(address, given.body and given.body.encode(), headers)
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return answer.read().decode()


def run_line(line: str, monkeypatch: pytest.MonkeyPatch, services: Services) -> None:
    """Run `ulmfit …`, `echo TEXT | ulmfit …`, or `curl …`."""
    if line.startswith("ulmfit serve"):
        services.start(line)
        return
    if line.startswith("curl"):
        print(services.ask(line))
        return
    text, bar, command = line.rpartition(" | ")
    given = " ".join(shlex.split(text)[1:]) + "\n" if bar else ""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
    name, *arguments = shlex.split(command)
    assert name == "ulmfit"
    app(arguments, standalone_mode=False)


def test_its_blocks_run(
    single_label: Made,
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    in_the_folder_of_a_run(single_label, tmp_path, monkeypatch)
    blocks = BLOCK.findall(PAGE.read_text("utf-8"))
    assert {language for language, _ in blocks} == {"sh", "python"}
    with ExitStack() as stack:
        services = Services(stack)
        for language, content in blocks:
            if language == "python":
                exec(compile(content, str(PAGE), "exec"), {})
            else:
                for line in content.splitlines():
                    run_line(line, monkeypatch, services)
    output = capsys.readouterr().out
    for part in ("test texts predicted again", "accuracy", "would run", '"probabilities"'):
        assert part in output, part
    assert {"my-sklearn-model", "my-fastai-model"} <= {path.name for path in tmp_path.iterdir()}
    assert '{"predictions":[{"label":' in output and '"words":[["kalomi",' in output
    assert len(hub.models["somebody/my-model"].commits) == 1
    assert len(pandas.read_csv("labels.csv")) == len(pandas.read_csv("texts.csv"))
