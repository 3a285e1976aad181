"""The service does what its OpenAPI document says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from untrained_bundles import make_bundle

from serve.running import Running, running
from ulmfit import TextClassifier
from ulmfit.serve.settings import ServeSettings


@pytest.mark.soak
@pytest.mark.parametrize("task", ["single_label", "multi_label", "regression"])
def test_schemathesis_finds_no_other_answers(task: str, tokenizer: Path, tmp_path: Path) -> None:
    """It sends what the document allows and what it forbids, and compares every answer with it."""
    classifier = TextClassifier.load(make_bundle(tmp_path / task, tokenizer, task), device="cpu")
    # It takes 413 for no refusal.
    with running(classifier, ServeSettings(largest_body=10_000_000)) as service:
        program = Path(sys.executable).with_name("schemathesis")
        options = ["--max-examples", "100", "--seed", "1", "--generation-database", "none", "--no-color"]
        command = [program, "run", f"{service.address}/openapi.json", *options, "--checks", "all"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=600)
    assert done.returncode == 0, (done.stdout + done.stderr)[-2_000:]


@pytest.mark.parametrize("path", ["/predict", "/explain"])
def test_answers_have_the_fields_of_the_document(service: Running, path: str) -> None:
    responses = service.ask("GET", "/openapi.json").json["paths"][path]["post"]["responses"]
    for content, status in (({"text": "kalomi dusapo"}, "200"), ({}, "422")):
        answer = service.post(path, content)
        schema = responses[status]["content"]["application/json"]["schema"]
        assert (str(answer.status), list(answer.json)) == (status, schema["required"])
    (prediction,) = service.post("/predict", {"text": "kalomi"}).json["predictions"]
    schema = responses["200"]["content"]["application/json"]["schema"]
    if path == "/predict":
        schema = schema["properties"]["predictions"]["items"]["anyOf"][0]
    assert set(prediction) <= set(schema["required"])
