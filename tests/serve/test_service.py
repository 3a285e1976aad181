"""The service answers as the classifier does, within its limits, and says clearly what it refuses."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy
import pytest
from untrained_bundles import make_bundle

from serve.running import PATIENCE, Running, running
from ulmfit import TextClassifier
from ulmfit.serve.app import CLIENT_LEFT
from ulmfit.serve.settings import ServeSettings

TEXTS = ["kalomi ka lomi", "", "dusapo", "lo " * 100, "Łódź: <b>ärger</b> 😀"]
FULL = [text for text in TEXTS if text]


@contextmanager
def held(classifier: TextClassifier, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let every batch wait for the event; what each was given is in `given` of the event."""
    event, values = threading.Event(), TextClassifier.values
    event.given, event.begun = [], threading.Semaphore(0)

    def wait(self: TextClassifier, texts: list[str]) -> numpy.ndarray:
        event.given.append(list(texts))
        event.begun.release()
        assert event.wait(PATIENCE)
        return values(self, texts)

    monkeypatch.setattr(TextClassifier, "values", wait)
    try:
        yield event
    finally:
        event.set()


def begun_request(service: Running) -> socket.socket:
    """Return a connection on which a request of 14 bytes has sent the first of them."""
    connection = socket.create_connection(("127.0.0.1", service.port), PATIENCE)
    connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
    connection.sendall(b"Content-Length: 14\r\n\r\n{")
    return connection


def probabilities(predictions: list[dict]) -> numpy.ndarray:
    return numpy.array([list(one["probabilities"].values()) for one in predictions])


def test_one_text_and_many_are_labelled_as_by_the_classifier(
    service: Running, classifier: TextClassifier
) -> None:
    answer = service.post("/predict", {"texts": TEXTS})
    assert answer.status == 200
    predictions = answer.json["predictions"]
    assert predictions.pop(1) == {"error": "there is no text"}
    assert [one["label"] for one in predictions] == classifier.predict(FULL)
    numpy.testing.assert_allclose(probabilities(predictions), classifier.predict_proba(FULL), atol=1e-6)
    (alone,) = service.post("/predict", {"text": TEXTS[0], "calibrated": True}).json["predictions"]
    expected = classifier.predict_proba(TEXTS[:1], calibrated=True)
    numpy.testing.assert_allclose(probabilities([alone]), expected, atol=1e-6)


@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_other_tasks_are_answered(task: str, tokenizer: Path, tmp_path: Path) -> None:
    classifier = TextClassifier.load(make_bundle(tmp_path / task, tokenizer, task), device="cpu")
    with running(classifier, ServeSettings()) as service:
        predictions = service.post("/predict", {"texts": FULL}).json["predictions"]
        explained = service.post("/explain", {"text": "kalomi dusapo"}).json
        calibrated = service.post("/predict", {"text": "ka", "calibrated": True})
    expected = classifier.predict(FULL)
    if task == "regression":
        assert [one["value"] for one in predictions] == pytest.approx(expected)
    else:
        assert [one["labels"] for one in predictions] == expected
        numpy.testing.assert_allclose(probabilities(predictions), classifier.values(FULL), atol=1e-6)
    assert [word for word, _ in explained["words"]] == ["kalomi", "dusapo"]
    assert calibrated.status == 422 and "this classifier has no temperature" in calibrated.json["error"]


def test_words_are_explained(service: Running, classifier: TextClassifier) -> None:
    answer = service.post("/explain", {"text": "kalomi dusapo"}).json
    expected = classifier.explain("kalomi dusapo")
    assert (answer["explained"], answer["cut"]) == (expected.label, False)
    assert [word for word, _ in answer["words"]] == ["kalomi", "dusapo"]
    assert [weight for _, weight in answer["words"]] == pytest.approx(
        [word.weight for word in expected.words], abs=1e-6
    )
    empty = service.post("/explain", {"text": " "}).json
    assert (empty["words"], empty["label"]) == ([], classifier.predict([" "])[0])


def test_what_waits_is_computed_together(classifier: TextClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"kalomi {'lo ' * number}" for number in range(12)]
    expected = classifier.predict_proba(texts)
    with (
        held(classifier, monkeypatch) as event,
        running(classifier, ServeSettings(most_batched=8)) as service,
        ThreadPoolExecutor(13) as clients,
    ):
        first = clients.submit(service.post, "/predict", {"text": "dusapo"})
        assert event.begun.acquire(timeout=PATIENCE)
        answers = [clients.submit(service.post, "/predict", {"text": text}) for text in texts]
        service.wait_for("ulmfit_waiting_texts 12\n")
        event.set()
        found = [answer.result().json["predictions"][0] for answer in answers]
        assert first.result().status == 200
    assert [len(batch) for batch in event.given] == [1, 8, 4]
    numpy.testing.assert_allclose(probabilities(found), expected, atol=1e-6)


def test_a_full_queue_answers_429_and_loses_nothing(
    classifier: TextClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        held(classifier, monkeypatch) as event,
        running(classifier, ServeSettings(most_waiting=4)) as service,
        ThreadPoolExecutor(3) as clients,
    ):
        computing = clients.submit(service.post, "/predict", {"text": "ka"})
        assert event.begun.acquire(timeout=PATIENCE)
        # More than the whole queue, but nothing waits: it would never find more room than now.
        large = clients.submit(service.post, "/predict", {"texts": ["lo"] * 6})
        service.wait_for("ulmfit_waiting_texts 6\n")
        refused = service.post("/predict", {"text": "mi"})
        event.set()
        assert computing.result().status == large.result().status == 200
        assert service.post("/predict", {"text": "mi"}).status == 200
    assert refused.status == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert "try again in" in refused.json["error"]


def test_too_many_requests_at_once_are_refused_before_their_bodies_are_read(
    classifier: TextClassifier,
) -> None:
    with (
        running(classifier, ServeSettings(most_requests=1)) as service,
        begun_request(service) as slow,
    ):
        while (answer := service.post("/predict", {"text": "ka"})).status == 200:
            pass
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        assert service.ask("GET", "/health").status == 200
        slow.sendall(b'"text": "ka"}')
        assert slow.recv(100).startswith(b"HTTP/1.1 200")


def test_a_client_that_leaves_frees_its_place(
    classifier: TextClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        held(classifier, monkeypatch) as event,
        running(classifier, ServeSettings(most_waiting=1)) as service,
        ThreadPoolExecutor(2) as clients,
    ):
        computing = clients.submit(service.post, "/predict", {"text": "ka"})
        assert event.begun.acquire(timeout=PATIENCE)
        body = json.dumps({"text": "given up"}).encode()
        with socket.create_connection(("127.0.0.1", service.port), PATIENCE) as client:
            head = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\n" + head.encode() + body)
            service.wait_for("ulmfit_waiting_texts 1\n")
        service.wait_for(f'path="/predict",status="{CLIENT_LEFT}"}} 1')
        following = clients.submit(service.post, "/predict", {"text": "lo"})
        service.wait_for("ulmfit_waiting_texts 1\n")
        event.set()
        assert computing.result().status == following.result().status == 200
    assert event.given == [["ka"], ["lo"]]


def test_one_request_that_fails_does_not_spoil_its_batch(
    classifier: TextClassifier, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    values = TextClassifier.values

    def fail(self: TextClassifier, texts: list[str]) -> numpy.ndarray:
        if "secret words" in texts:
            raise RuntimeError("secret words")
        return values(self, texts)

    monkeypatch.setattr(TextClassifier, "values", fail)
    with (
        held(classifier, monkeypatch) as event,
        running(classifier, ServeSettings()) as service,
        ThreadPoolExecutor(3) as clients,
    ):
        first = clients.submit(service.post, "/predict", {"text": "ka"})
        assert event.begun.acquire(timeout=PATIENCE)
        bad = clients.submit(service.post, "/predict", {"text": "secret words"})
        good = clients.submit(service.post, "/predict", {"text": "lo"})
        service.wait_for("ulmfit_waiting_texts 2\n")
        event.set()
        assert first.result().status == good.result().status == 200
        assert bad.result().status == 500
    logged = capsys.readouterr()
    assert "secret" not in logged.out + logged.err + bad.result().body.decode()
    assert logged.err.startswith("serve: /predict failed: RuntimeError at test_service.py:")


@pytest.mark.parametrize("path", ["/predict", "/explain"])
def test_damaged_weights_are_no_fault_of_a_request(
    path: str, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = TextClassifier.load(bundle, device="cpu")
    for parameter in damaged.members[0].model.parameters():
        parameter.data.fill_(float("nan"))
    with running(damaged, ServeSettings()) as service:
        answer = service.post(path, {"text": "kalomi dusapo"})
    said = "the classifier's predictions are no numbers: its weights are damaged"
    assert (answer.status, answer.json) == (500, {"error": said})
    logged = capsys.readouterr()
    assert logged.err == f"serve: {path} failed: the bundle is damaged: {said}\n"
    assert "kalomi" not in logged.out


@pytest.mark.parametrize(
    ("path", "content", "status", "said"),
    [
        ("/predict", {"texts": ["ka"] * 257}, 422, "texts: 257 of them, expected 256 at most"),
        ("/predict", {"text": "k" * 5_001}, 422, "text 1 has 5,001 characters, expected 5,000 at most"),
        ("/predict", {"texts": ["k" * 999] * 101}, 413, "the body is larger than 100,000 bytes"),
        ("/predict", {"texts": []}, 422, "texts: expected a list of one string or more"),
        ("/predict", {"texts": ["ka", None]}, 422, "text 2: expected a string"),
        ("/predict", {"texts": "ka"}, 422, "texts: expected a list of one string or more"),
        ("/predict", {"text": "a", "texts": ["a"]}, 422, "expected either text, a string, or texts"),
        ("/predict", {"text": "a", "calibrated": 1}, 422, "calibrated: expected true or false"),
        ("/predict", {"text": "a", "secret": 1}, 422, "1 fields are unknown: expected no other than calibr"),
        ("/explain", {"text": "a b c d " * 600}, 422, "the text is too long to be explained"),
        ("/explain", {}, 422, "text is missing: expected a string"),
        ("/explain", [], 422, "expected a JSON object"),
    ],
)
def test_limits_and_wrong_fields(
    service: Running, path: str, content: object, status: int, said: str
) -> None:
    answer = service.post(path, content)
    assert (answer.status, answer.json["error"].startswith(said)) == (status, True), answer.body
    assert b"secret" not in answer.body


def test_bodies_that_are_no_json(service: Running) -> None:
    assert service.ask("POST", "/predict", b"{").status == 400
    assert service.ask("POST", "/predict", b'{"text": "\\ud800"}').status == 400
    assert service.ask("POST", "/predict", b"text=ka", {"Content-Type": "text/plain"}).status == 415
    latin = {"Content-Type": "application/json; charset=latin-1"}
    assert service.ask("POST", "/predict", b"{}", latin).status == 415


def test_a_body_that_does_not_arrive_is_given_up(classifier: TextClassifier) -> None:
    with (
        running(classifier, ServeSettings(body_seconds=0.05)) as service,
        begun_request(service) as slow,
    ):
        received = b""
        while part := slow.recv(4096):
            received += part
    assert received.startswith(b"HTTP/1.1 408") and b"did not arrive in 0.05 s" in received


def test_health_metrics_and_description(service: Running) -> None:
    health = service.ask("GET", "/health").json
    assert (health["status"], health["model"], health["labels"]) == ("ok", "test/single_label", ["no", "yes"])
    assert health["limits"]["longest_text"] == 5_000
    service.post("/predict", {"text": "ka"})
    metrics = service.ask("GET", "/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    names = {line.split("{")[0].split(" ")[0] for line in metrics.body.decode().splitlines()}
    assert {"ulmfit_requests_total", "ulmfit_request_seconds_bucket", "ulmfit_waiting_texts"} <= names
    described = service.ask("GET", "/openapi.json").json
    assert list(described["paths"]) == ["/predict", "/explain", "/health", "/metrics"]


def test_other_paths_and_methods_are_refused(service: Running) -> None:
    assert (service.ask("GET", "/nothing").status, service.ask("GET", "/predict").status) == (404, 405)
    assert service.ask("GET", "/predict").headers["allow"] == "POST"
    assert service.ask("HEAD", "/health").body == b""


@pytest.mark.parametrize("path", ["/", "/health", "/metrics", "/openapi.json", "/nothing"])
def test_no_answer_is_kept_or_guessed_at(service: Running, path: str) -> None:
    headers = service.ask("GET", path).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert ("content-security-policy" in headers) == (path == "/")
