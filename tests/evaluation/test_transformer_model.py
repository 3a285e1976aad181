"""What is loaded of a pretrained transformer, and everything that is refused, each with one line."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Iterator
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

if find_spec("transformers") is None:
    pytest.skip("pip install 'ulmfit[transformers]' for these tests", allow_module_level=True)

from transformers_for_tests import (
    change_config,
    classifier,
    tiny_bert,
    tiny_roberta,
    tiny_xlm_roberta,
)

from ulmfit.evaluation.transformer_model import download, load_transformer
from ulmfit.evaluation.transformer_stages import HubModel, TransformerClassifier
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import sha256_of
from ulmfit.pipeline.runner import Runner
from ulmfit.training.weights import read_weights, write_tensors

LABELS = ["no", "yes"]
REVISION = "0123456789" * 4


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture
def bert(made: Path, tmp_path: Path) -> Path:
    """A copy of one's own."""
    return Path(shutil.copytree(made, tmp_path / "bert"))


def refused(folder: Path, fault: str, maximum_tokens: int = 32) -> None:
    with pytest.raises(InputError, match=fault) as caught:
        load_transformer(folder, LABELS, maximum_tokens)
    assert "\n" not in str(caught.value)


def test_the_published_weights_are_taken_over_and_the_head_is_new(bert: Path) -> None:
    torch.manual_seed(5)
    first = load_transformer(bert, LABELS, 32)
    published, own = read_weights(bert / "model.safetensors"), first.model.state_dict()
    new = set(first.description["new_weights"])
    assert new == {
        "bert.pooler.dense.bias",
        "bert.pooler.dense.weight",
        "classifier.bias",
        "classifier.weight",
    }
    taken = own.keys() - new
    assert len(taken) > 30 and all(torch.equal(own[name], published[name]) for name in taken)
    assert own["classifier.weight"].shape == (2, 16)
    assert first.description["files"]["model.safetensors"] == sha256_of(bert / "model.safetensors")
    torch.manual_seed(6)
    other = load_transformer(bert, LABELS, 32).model.state_dict()
    assert not torch.equal(own["classifier.weight"], other["classifier.weight"])


def test_a_head_for_other_labels_is_replaced(bert: Path) -> None:
    model = load_transformer(bert, ["a", "b", "c"], 32).model
    model.save_pretrained(bert)
    assert load_transformer(bert, ["a", "b", "c"], 32).description["new_weights"] == []
    replaced = load_transformer(bert, LABELS, 32)
    assert replaced.description["new_weights"] == ["classifier.bias", "classifier.weight"]
    assert replaced.model.classifier.weight.shape == (2, 16)


def test_half_precision_is_read_as_fp32(bert: Path) -> None:
    path = bert / "model.safetensors"
    write_tensors({name: tensor.half() for name, tensor in read_weights(path).items()}, path)
    change_config(bert, dtype="float16")
    assert {one.dtype for one in load_transformer(bert, LABELS, 32).model.parameters()} == {torch.float32}


def test_the_pieces_are_sentencepieces(tmp_path: Path) -> None:
    import sentencepiece

    folder = tiny_xlm_roberta(tmp_path / "model")
    reference = sentencepiece.SentencePieceProcessor(model_file=str(folder / "sentencepiece.bpe.model"))
    texts = ["kalomi sakane dusapo", "tu", "ka lo mi", "dusapo ".strip()]
    documents = load_transformer(folder, LABELS, 32).encode(texts, 32).documents
    # fairseq's order: <s>, <pad>, </s>, <unk>, then the pieces, which SentencePiece counts from 3.
    expected = [[0, *(number + 1 for number in reference.encode(text)), 2] for text in texts]
    assert [document.tolist() for document in documents] == expected


@pytest.mark.parametrize(("make", "positions"), [(tiny_bert, 32), (tiny_roberta, 32), (tiny_xlm_roberta, 32)])
def test_as_many_pieces_as_there_are_positions(tmp_path: Path, make, positions: int) -> None:
    folder = make(tmp_path / "model")
    refused(folder, f"maximum_tokens {positions + 1}, but the model has {positions}", positions + 1)
    loaded = load_transformer(folder, LABELS, positions)
    ids = torch.full((1, positions), 7)
    assert loaded.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.shape == (1, 2)


def test_no_folder(tmp_path: Path) -> None:
    refused(tmp_path / "nothing", "is not a folder")
    (tmp_path / "file").write_text("text", "utf-8")
    refused(tmp_path / "file", "is not a folder")
    refused(tmp_path, r"has no config\.json")
    with pytest.raises(InputError, match="does not exist"):
        Runner(tmp_path / "runs").build(classifier(tmp_path / "nothing"))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "tf_model.h5", "flax_model.msgpack"])
def test_pickled_weights(bert: Path, name: str) -> None:
    (bert / "model.safetensors").rename(bert / name)
    refused(bert, f"has its weights in {name}, and loading such a file may run code")


def test_no_weights_at_all(bert: Path) -> None:
    (bert / "model.safetensors").unlink()
    refused(bert, r"has no model\.safetensors")


def test_pickled_weights_beside_safetensors_are_not_read(bert: Path) -> None:
    marker = bert / "ran"
    (bert / "pytorch_model.bin").write_bytes(f"cos\nsystem\n(S'touch {marker}'\ntR.".encode())
    load_transformer(bert, LABELS, 32)
    assert not marker.exists()


def test_shards(bert: Path) -> None:
    weights = read_weights(bert / "model.safetensors")
    (bert / "model.safetensors").unlink()
    names = sorted(weights)
    parts = {"model-00001-of-00002.safetensors": names[:20], "model-00002-of-00002.safetensors": names[20:]}
    for name, members in parts.items():
        write_tensors({member: weights[member] for member in members}, bert / name)
    index = bert / "model.safetensors.index.json"
    places = {member: name for name, members in parts.items() for member in members}
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}), "utf-8")
    loaded = load_transformer(bert, LABELS, 32)
    assert set(parts) < set(loaded.description["files"])
    own = loaded.model.state_dict()
    assert torch.equal(
        own["bert.embeddings.word_embeddings.weight"], weights["bert.embeddings.word_embeddings.weight"]
    )
    for strange in ("pytorch_model.bin", "../other/model.safetensors", "/etc/model.safetensors"):
        index.write_text(json.dumps({"weight_map": places | {names[0]: strange}}), "utf-8")
        refused(bert, "expected .safetensors files beside it")
    for damaged in ("", "[]", '{"weight_map": 3}', '{"weight_map": {"a": 3}}'):
        index.write_text(damaged, "utf-8")
        refused(bert, "is damaged")


@pytest.mark.parametrize("content", [b"", b"\x80\x04N.", b"\xff" * 100])
def test_damaged_weights(bert: Path, content: bytes) -> None:
    (bert / "model.safetensors").write_bytes(content)
    refused(bert, "cannot load the weights of")


@pytest.mark.parametrize("content", ["", "[1]", "{", '{"model_type": "zebra"}', "{}", '{"model_type": "t5"}'])
def test_descriptions_that_name_no_encoder(bert: Path, content: str) -> None:
    (bert / "config.json").write_text(content, "utf-8")
    refused(bert, "cannot load|do not fit|has no")


def test_no_tokenizer(bert: Path) -> None:
    (bert / "vocab.txt").unlink()
    refused(bert, "has no tokenizer")


def test_a_damaged_tokenizer(bert: Path) -> None:
    (bert / "tokenizer.json").write_text("{", "utf-8")
    refused(bert, "cannot load the tokenizer of")


@pytest.mark.parametrize(
    "pieces", [["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], [f"w{n}" for n in range(90)]]
)
def test_the_tokenizer_of_another_model(bert: Path, pieces: list[str]) -> None:
    (bert / "vocab.txt").write_text("\n".join(pieces) + "\n", "utf-8")
    refused(bert, r"the tokenizer has [\d,]+ pieces, the model's embedding 27 rows")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"num_hidden_layers": 3}, r"bert\.encoder\.layer\.2.* is missing or of another shape"),
        ({"vocab_size": 30}, "word_embeddings.weight is missing or of another shape"),
        ({"hidden_size": 24, "num_attention_heads": 2}, "is missing or of another shape"),
    ],
)
def test_weights_of_another_model(bert: Path, change: dict, fault: str) -> None:
    change_config(bert, **change)
    refused(bert, fault)


def test_code_in_the_folder_is_not_run(bert: Path) -> None:
    marker = bert / "ran"
    (bert / "code.py").write_text(f"open({str(marker)!r}, 'w').close()\n", "utf-8")
    entries = {"AutoConfig": "code.Config", "AutoModelForSequenceClassification": "code.Model"}
    change_config(bert, auto_map=entries)
    load_transformer(bert, LABELS, 32)
    change_config(bert, model_type="zebra")
    refused(bert, r"cannot load config\.json")
    assert not marker.exists()


@pytest.mark.parametrize("name", ["attn_implementation", "_attn_implementation"])
def test_attention_from_the_hub_is_not_fetched(bert: Path, name: str) -> None:
    change_config(bert, **{name: "somebody/kernel"})
    try:
        loaded = load_transformer(bert, LABELS, 32)
    except InputError as error:
        assert "attention 'somebody/kernel'" in str(error)
    else:
        assert loaded.model.config._attn_implementation in ("sdpa", "eager")


def test_quantized_weights(bert: Path) -> None:
    change_config(bert, quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True})
    refused(bert, "are quantized")


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\n", "apache-2.0"),
        ("no metadata", ""),
        ("---\nlicense: [a, b]\n---\n", ""),
        ("---\nlicense: {\n---\n", ""),
        ("---\n!!python/object/apply:os.getcwd []\n---\n", ""),
    ],
)
def test_the_licence_of_the_card(bert: Path, card: str, licence: str) -> None:
    (bert / "README.md").write_text(card, "utf-8")
    assert load_transformer(bert, LABELS, 32).description["licence"] == licence


def test_the_library_is_not_installed(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    refused(bert, r"pip install 'ulmfit\[transformers\]'")


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as a download asks for: one repository at one revision."""

    folder: Path

    def do_HEAD(self) -> None:
        self._answer(send=False)

    def do_GET(self) -> None:
        self._answer(send=True)

    def _answer(self, *, send: bool) -> None:
        path = self.path.partition("?")[0]
        if path == f"/api/models/owner/bert/revision/{REVISION}":
            siblings = [{"rfilename": name} for name in self._files()]
            self._reply_json({"id": "owner/bert", "sha": REVISION, "siblings": siblings}, send)
        elif path == f"/api/models/owner/bert/tree/{REVISION}":
            sizes = {name: (self.folder / name).stat().st_size for name in self._files()}
            tree = [{"type": "file", "path": name, "size": size, "oid": "0"} for name, size in sizes.items()]
            self._reply_json(tree, send)
        elif path.startswith(f"/owner/bert/resolve/{REVISION}/"):
            file = self.folder / path.rpartition("/")[2]
            self._reply(file.read_bytes(), "application/octet-stream", send)
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _files(self) -> list[str]:
        found = (one.relative_to(self.folder) for one in self.folder.rglob("*") if one.is_file())
        return sorted(one.as_posix() for one in found)

    def _reply_json(self, content: object, send: bool) -> None:
        self._reply(json.dumps(content).encode(), "application/json", send)

    def _reply(self, content: bytes, kind: str, send: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", REVISION)
        self.end_headers()
        if send:
            self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Keep quiet."""


@pytest.fixture
def hub(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A hub on this machine that has `bert`, with files that nobody should take."""
    from huggingface_hub import constants

    (bert / "pytorch_model.bin").write_bytes(b"pickle")
    (bert / "onnx").mkdir()
    (bert / "onnx" / "model.safetensors").write_bytes(b"another form")
    (bert / "modeling.py").write_text("", "utf-8")
    handler = type("OneHub", (Hub,), {"folder": bert})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    template = address + constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield bert
    server.shutdown()
    server.server_close()


def from_hub(stage: TransformerClassifier, name: str = "owner/bert") -> TransformerClassifier:
    return stage.changed(pretrained=HubModel(name=name, revision=REVISION))


def test_a_model_of_the_hub(hub: Path, tmp_path: Path) -> None:
    runner = Runner(tmp_path / "runs")
    remote, local = from_hub(classifier(hub, epochs=1)), classifier(hub, epochs=1)
    contents = [
        json.loads((runner.build(one) / "transformer.json").read_text("utf-8")) for one in (remote, local)
    ]
    assert (contents[0]["model"], contents[0]["revision"]) == ("owner/bert", REVISION)
    differ = ("model", "revision")
    assert {name: value for name, value in contents[0].items() if name not in differ} == {
        name: value for name, value in contents[1].items() if name not in differ
    }
    taken = {path.name for path in download(remote.pretrained).rglob("*") if path.is_file()}
    assert taken == {"README.md", "config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"}


def test_a_model_that_the_hub_does_not_have(hub: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"owner/cat at revision 012345678901 cannot be had .* local copy"
    ) as caught:
        Runner(tmp_path / "runs").build(from_hub(classifier(hub), "owner/cat"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HF_HUB_OFFLINE", True),
        # The library tries several times, and waits in between.
        pytest.param("ENDPOINT", "http://127.0.0.1:9", marks=pytest.mark.soak),
    ],
)
def test_a_hub_that_cannot_be_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, name, value)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match="check name, revision and network, or name a local copy"):
        download(HubModel(name="owner/bert", revision=REVISION))


@pytest.mark.parametrize(
    ("name", "revision"),
    [
        ("owner/bert", "main"),
        ("owner/bert", "0123456"),
        ("../x/y", REVISION),
        ("", REVISION),
        ("a/b/c", REVISION),
    ],
)
def test_what_is_not_pinned(name: str, revision: str) -> None:
    with pytest.raises(ValidationError):
        HubModel(name=name, revision=revision)


def test_a_licence_that_is_given_stands_above_the_cards(bert: Path, tmp_path: Path) -> None:
    stage = classifier(bert, epochs=1).changed(pretrained=File(path=bert, licence="CC0"))
    folder = Runner(tmp_path / "runs").build(stage)
    assert json.loads((folder / "transformer.json").read_text("utf-8"))["licence"] == "CC0"
