"""`ulmfit serve` as a user starts and ends it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serve.running import JSON, PATIENCE, running
from serve.test_service import held
from ulmfit import TextClassifier
from ulmfit.cli.app import app
from ulmfit.pipeline.errors import InputError
from ulmfit.serve.server import is_loopback, open_socket
from ulmfit.serve.settings import ServeSettings


def test_sigterm_ends_it_with_status_0_and_no_text_is_logged(
    bundle: Path, classifier: TextClassifier
) -> None:
    command = [sys.executable, "-m", "ulmfit", "serve", str(bundle), "--port", "0", "--host", "0.0.0.0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(
            r"serving test/single_label at http://0\.0\.0\.0:(\d+) \(Ctrl-C ends it\)\n", line
        )
        assert found, (line, process.communicate())
        kept = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=PATIENCE)
        kept.request("POST", "/predict?kalomi", json.dumps({"text": "kalomi"}), JSON)
        (answer,) = json.loads(kept.getresponse().read())["predictions"]
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=PATIENCE)
        kept.close()
    assert [answer["label"]] == classifier.predict(["kalomi"])
    assert (process.returncode, output) == (0, "")
    assert errors == (
        "warning: 0.0.0.0 can be reached from other machines, and the service has neither password nor "
        "encryption: put a proxy that has them in front of it\n"
    )


def test_what_was_accepted_is_answered_at_the_end(
    classifier: TextClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        held(classifier, monkeypatch) as event,
        ThreadPoolExecutor(9) as clients,
        running(classifier, ServeSettings(most_batched=2)) as service,
    ):
        answers = [clients.submit(service.post, "/predict", {"text": "ka"})]
        assert event.begun.acquire(timeout=PATIENCE)
        answers += [clients.submit(service.post, "/predict", {"text": "lo"}) for _ in range(8)]
        service.wait_for("ulmfit_waiting_texts 8\n")
        service.server.should_exit = True
        while True:  # until nobody is let in any more
            try:
                socket.create_connection(("127.0.0.1", service.port), PATIENCE).close()
            except ConnectionError:
                break
            time.sleep(0.01)
        event.set()
        assert [answer.result().status for answer in answers] == [200] * 9


def test_addresses(classifier: TextClassifier) -> None:
    with (
        open_socket("127.0.0.1", 0) as taken,
        pytest.raises(InputError, match=r"cannot listen there .*: choose another port, or 0 for a free"),
    ):
        open_socket("127.0.0.1", taken.getsockname()[1])
    for unknown in ("no.such.host.invalid", "a" * 70):
        with pytest.raises(InputError, match=rf"--host {unknown}: this host is unknown") as error:
            open_socket(unknown, 0)
        assert "port" not in str(error.value)
    with pytest.raises(InputError, match=r"--host 192\.0\.2\.1: this is no address of this machine"):
        open_socket("192.0.2.1", 0)
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "0.0.0.0", "::", "10.0.0.1")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_without_the_extra_one_line_says_what_to_install(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [one for one in sys.modules if one.partition(".")[0] in ("starlette", "uvicorn")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [one for one in sys.modules if one.startswith("ulmfit.serve.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(InputError, match=r'which is not installed: pip install "ulmfit\[serve\]"'):
        app(["serve", str(bundle)], standalone_mode=False)


def test_a_language_model_is_not_served(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no bundle"):
        app(["serve", str(tmp_path)], standalone_mode=False)
