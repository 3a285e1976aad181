"""A model that was trained elsewhere, or with another tokenizer, as the beginning of ours."""

from __future__ import annotations

import io
import json
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import sentencepiece
import torch
from cli_for_tests import ulmfit_here
from foreign_models_for_tests import (
    EMBEDDING,
    HIDDEN,
    VOCABULARY,
    as_fastai_v1,
    fastai_model,
    fastai_v1_qrnn_logits,
    qrnn_state,
)
from pydantic import ValidationError
from recipes_for_tests.tiny import recipe as tiny_recipe
from stages_for_tests import InventedDataset, invented_text, tiny_classifier, tiny_pretrain

from ulmfit.classifier.folder import load_classifier
from ulmfit.classifier.predictions import read_predictions
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.classifier.stages import TrainClassifier
from ulmfit.corpus.dataset_texts import DatasetTexts
from ulmfit.experiments import driver
from ulmfit.language_model import evaluate, fit
from ulmfit.language_model.folder import load_language_model
from ulmfit.language_model.imported import import_into_new_folder, import_model
from ulmfit.language_model.settings import Architecture, Dropouts, FineTuneSettings
from ulmfit.language_model.stages import BackwardOrder, Direction, FineTune, ImportedModel
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner
from ulmfit.pipeline.stage import LOG
from ulmfit.tokens.loading import load_tokenizer
from ulmfit.tokens.stages import EncodeTokens, GivenTokenizer, TrainTokenizer
from ulmfit.tokens.text_form import Rules
from ulmfit.tokens.words_tokenizer import WordsTokenizer, reserved_pieces
from ulmfit.training.settings import Phase
from ulmfit.training.weights import read_weights

SIZE = Architecture(embedding_size=EMBEDDING, hidden_size=HIDDEN, layers=3)
ONE_EPOCH = FineTuneSettings(phases=(Phase(learning_rate=1e-3),), batch_size=8, bptt=12)
SPECIAL = ["xxunk", "xxpad", "xxbos", "xxeos", "xxfld", "xxrep", "xxwrep", "xxup", "xxmaj"]
SYLLABLES = ["▁", "ka", "lo", "mi", "ne", "▁ka", "▁lo", "▁mi", "a", "o", "i", "e", "u", "k", "l", "m", "n"]


def vocabulary(size: int = VOCABULARY) -> list[str]:
    """Return a vocabulary of SentencePiece's pieces, as fastai v2 pads it."""
    return (SPECIAL + SYLLABLES + ["xxfake"] * size)[:size]


def files(folder: Path, state: Any = None, pieces: list[str] | None = None) -> tuple[Path, Path]:
    """Write a pair of files as fastai's releases are."""
    weights, itos = folder / "de_wgts.pth", folder / "de_itos.pkl"
    torch.save(fastai_model().state_dict() if state is None else state, weights)
    itos.write_bytes(pickle.dumps(vocabulary() if pieces is None else pieces))
    return weights, itos


def imported_stage(folder: Path, direction: Direction = "forward", **changes: Any) -> ImportedModel:
    weights, itos = files(folder, changes.pop("state", None))
    return ImportedModel(
        weights=File(path=weights), vocabulary=File(path=itos), direction=direction, **changes
    )


def target_tokens(tokenizer: TrainTokenizer) -> EncodeTokens:
    return EncodeTokens(documents=DatasetTexts(dataset=InventedDataset()), tokenizer=tokenizer)


def classifier(
    language_model: FineTune | ImportedModel, tokenizer: TrainTokenizer, direction: Direction = "forward"
) -> TrainClassifier:
    settings = ClassifierSettings(phases=(Phase(learning_rate=1e-2),), batch_size=8, bptt=8)
    return TrainClassifier(
        dataset=InventedDataset(),
        tokenizer=tokenizer,
        language_model=language_model,
        direction=direction,
        architecture=SIZE,
        settings=settings,
    )


def test_a_model_meets_another_tokenizer_and_becomes_a_classifier(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    pretrain = tiny_pretrain()
    other = pretrain.tokens.tokenizer.changed(vocab_size=60, model_type="bpe")
    # No rate at all: what comes out is what went in.
    still = ONE_EPOCH.changed(phases=(Phase(learning_rate=1e-30, schedule="constant"),), weight_decay=0)
    finetune = FineTune(pretrained=pretrain, tokens=target_tokens(other), settings=still)
    stage = classifier(finetune, other).changed(architecture=pretrain.settings.architecture)
    classified = runner.build(stage)
    folder = runner.folder(finetune)

    old_pieces = load_tokenizer(runner.folder(pretrain.tokens.tokenizer)).vocabulary
    new_pieces = load_tokenizer(runner.folder(other)).vocabulary
    old = read_weights(runner.folder(pretrain) / "model.safetensors")["0.encoder.weight"]
    new = read_weights(folder / "model.safetensors")["0.encoder.weight"]
    assert new.shape == (len(new_pieces), 16)
    shared = [piece for piece in new_pieces if piece in old_pieces]
    assert 6 < len(shared) < len(new_pieces), "the tokenizers share some pieces, but not all"
    for index, piece in enumerate(new_pieces):
        expected = old[old_pieces.index(piece)] if piece in old_pieces else old.mean(0)
        torch.testing.assert_close(new[index], expected, rtol=1e-5, atol=1e-7)

    match = read_json(folder / "metrics.json")["vocabulary"]
    assert (match["matched"], match["pieces"]) == (len(shared), len(new_pieces))
    assert match["matched_share"] < 1 and 0 < match["matched_token_share"] <= 1
    assert f"{len(shared)} of {len(new_pieces)} pieces" in (folder / LOG).read_text(encoding="utf-8")
    assert read_json(folder / "model.json")["vocabulary_size"] == len(new_pieces)
    assert read_json(classified / "model.json")["vocabulary_size"] == len(new_pieces)


def test_the_same_tokenizer_changes_nothing_and_says_nothing(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    pretrain = tiny_pretrain()
    stage = FineTune(pretrained=pretrain, tokens=target_tokens(pretrain.tokens.tokenizer), settings=ONE_EPOCH)
    folder = runner.build(stage)
    assert "vocabulary" not in read_json(folder / "metrics.json")
    assert "another vocabulary" not in (folder / LOG).read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["lstm", "qrnn"])
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_released_weights_are_fine_tuned_and_classify(
    tmp_path: Path, kind: str, direction: Direction
) -> None:
    runner = Runner(tmp_path / "runs")
    model = imported_stage(tmp_path, direction, state=qrnn_state() if kind == "qrnn" else None)
    tokenizer = tiny_pretrain().tokens.tokenizer
    finetune = FineTune(pretrained=model, tokens=target_tokens(tokenizer), settings=ONE_EPOCH)
    stage = classifier(finetune, tokenizer, direction)
    folder = runner.build(stage.changed(architecture=SIZE.changed(kind=kind)))
    assert (folder / "predictions-test.parquet").exists()
    assert read_json(runner.folder(model) / "model.json") == {
        "kind": f"awd_{kind}",
        "vocabulary_size": VOCABULARY,
        "architecture": SIZE.changed(kind=kind).model_dump(),
        "direction": direction,
    }
    assert read_json(runner.folder(model) / "vocabulary.json") == vocabulary()
    tuned = read_json(runner.folder(finetune) / "model.json")
    assert (tuned["kind"], tuned["direction"]) == (f"awd_{kind}", direction)
    assert 0 < read_json(runner.folder(finetune) / "metrics.json")["vocabulary"]["matched_share"] < 1


def test_a_multifit_release_keeps_its_forward_pass_through_the_stage(tmp_path: Path) -> None:
    """Four QRNN layers, weights beside an optimizer, the vocabulary a pickled list: MultiFiT's layout."""
    state = qrnn_state(layers=4)
    model = imported_stage(tmp_path, "forward", state={"model": state, "opt": None})
    loaded = load_language_model(Runner(tmp_path / "runs").build(model), Dropouts(multiplier=0), "forward")
    ids = np.array([2, 17, 3, 44, 9, 9, 21])
    with torch.no_grad():
        logits = loaded.double().eval()(torch.from_numpy(ids)[None]).logits[0]
    np.testing.assert_allclose(logits.numpy(), fastai_v1_qrnn_logits(state, ids), rtol=1e-9, atol=1e-9)


def test_a_fastai_release_keeps_its_forward_pass_through_the_stage(tmp_path: Path) -> None:
    model = imported_stage(tmp_path, "backward", state=as_fastai_v1(fastai_model().state_dict()))
    loaded = load_language_model(Runner(tmp_path / "runs").build(model), Dropouts(multiplier=0), "backward")
    ids = torch.tensor([[2, 17, 3, 44, 9, 9, 21]])
    with torch.no_grad():
        torch.testing.assert_close(loaded.eval()(ids).logits, fastai_model()(ids)[0], rtol=1e-5, atol=1e-6)


def test_a_classifier_can_begin_with_released_weights_at_once(tmp_path: Path) -> None:
    runner = Runner(tmp_path / "runs")
    tokenizer = tiny_pretrain().tokens.tokenizer
    folder = runner.build(classifier(imported_stage(tmp_path), tokenizer))
    assert "pieces (" in (folder / LOG).read_text(encoding="utf-8")
    size = read_json(folder / "model.json")["vocabulary_size"]
    assert len(read_weights(folder / "model.safetensors")["encoder.module.encoder.weight"]) == size


def test_a_recipe_begins_with_released_weights(tmp_path: Path) -> None:
    model = imported_stage(tmp_path)
    overrides = [
        "pretrain.architecture.embedding_size=12",
        "pretrain.architecture.hidden_size=20",
        "classifier.phases=[{}]",
    ]
    recipe = tiny_recipe.changed(preset="forward", pretrained={"forward": model}, seeds=(0,))
    with pytest.raises(InputError, match="embedding_size: expected 16, found 12"):
        driver.run(recipe, tmp_path / "runs")
    recipe = recipe.with_overrides([*overrides, "pretrain.architecture.layers=3"])
    folder = driver.run(recipe, tmp_path / "runs")
    assert folder is not None
    record = read_json(folder / "record.json")
    assert [row["name"] for row in record["rows"]][:2] == ["ULMFiT, forward", "from scratch, forward"]
    assert [model["name"] for model in record["language_models"]] == ["fine-tuned, seed 0"]
    trained = record["language_models"][0]["trained"]
    assert 0 < trained["matched_vocabulary"] < 1 and 0 < trained["matched_tokens"] < 1
    assert "released weights instead of pretraining: de_wgts.pth" in record["labels"]
    assert {"de_wgts.pth", "de_itos.pkl"} <= record["inputs"].keys()
    assert str(tmp_path) not in json.dumps(record)
    assert not list((tmp_path / "runs" / "stages").glob("pretrain*"))


def test_a_releases_own_sentencepiece_model_finds_every_row(tmp_path: Path) -> None:
    spm = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(invented_text(seed, 80) for seed in range(7)),
        model_writer=spm,
        vocab_size=VOCABULARY,
        hard_vocab_limit=True,
        model_type="bpe",
        unk_id=9,
        pad_id=-1,
        bos_id=-1,
        eos_id=-1,
        user_defined_symbols=[f"▁{name}" for name in SPECIAL],
        minloglevel=2,
    )
    path = tmp_path / "spm.model"
    path.write_bytes(spm.getvalue())
    weights, _ = files(tmp_path, qrnn_state(early=True))
    model = ImportedModel(
        weights=File(path=weights), vocabulary=File(path=path), direction="forward", architecture=None
    )
    recipe = tiny_recipe.changed(preset="forward", pretrained={"forward": model}, tokenizer=File(path=path))
    experiment = recipe.with_overrides(
        [
            "pretrain.architecture.kind=qrnn",
            "pretrain.architecture.embedding_size=12",
            "pretrain.architecture.hidden_size=20",
            "pretrain.architecture.layers=3",
        ]
    ).stages()
    assert isinstance(experiment.tokenizer, GivenTokenizer)
    assert experiment.classifiers["forward", 0].tokenizer == experiment.tokenizer
    folder = Runner(tmp_path / "runs").build(experiment.language_models()[0])
    match = read_json(folder / "metrics.json")["vocabulary"]
    assert match["pieces"] == VOCABULARY - 3, "rep, wrep and one spelling of unknown are not needed"
    assert match["matched_share"] == match["matched_token_share"] == 1


def test_recipes_that_cannot_begin_with_these_weights_are_refused(tmp_path: Path) -> None:
    model = imported_stage(tmp_path)
    with pytest.raises(ValidationError, match="there is no model that reads backward"):
        tiny_recipe.changed(pretrained={"forward": model})
    with pytest.raises(ValidationError, match="backward holds a model that reads forward"):
        tiny_recipe.changed(pretrained={"backward": model})
    with pytest.raises(ValidationError, match="there is nothing to train"):
        tiny_recipe.changed(preset="forward", pretrained={"forward": model}, dataset=None)


def test_a_classifier_fits_its_language_model() -> None:
    stage = tiny_classifier()
    with pytest.raises(ValidationError, match="direction backward, but the language model reads forward"):
        stage.changed(direction="backward")
    pretrain = tiny_pretrain()
    tokens = target_tokens(pretrain.tokens.tokenizer)
    other = pretrain.tokens.tokenizer.changed(vocab_size=60)
    with pytest.raises(ValidationError, match="expected the one that the language model was fine-tuned with"):
        classifier(FineTune(pretrained=pretrain, tokens=tokens), other)


def test_a_classifier_of_another_size_than_its_language_model_is_refused(tmp_path: Path) -> None:
    tokenizer = tiny_pretrain().tokens.tokenizer
    stage = classifier(imported_stage(tmp_path), tokenizer)
    with pytest.raises(InputError, match="hidden_size: expected 1152, found 20"):
        Runner(tmp_path / "runs").build(stage.changed(architecture=SIZE.changed(hidden_size=1152)))


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        (vocabulary(49), "has 49 entries, the embedding in .* has 50 rows"),
        (vocabulary(51), "has 51 entries, the embedding in .* has 50 rows"),
        ([f"w{i}" for i in range(60_001)], "has 60,001 entries"),
    ],
)
def test_a_vocabulary_of_another_size_is_refused_with_the_numbers(
    tmp_path: Path, pieces: list[str], message: str
) -> None:
    weights, itos = files(tmp_path, pieces=pieces)
    with pytest.raises(InputError, match=message):
        import_model(weights, itos, tmp_path, "forward")
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"direction": "backward"}, "direction forward was given, but .* says backward"),
        ({"direction": "bwd"}, "says bwd"),
        ({"backwards": True}, "says backward"),
        ({"direction": 7}, "says 7"),
        ({"vocabulary_size": 60_000}, "says vocabulary_size 60000, the embedding has 50 rows"),
        ([], "expected a JSON object"),
    ],
)
def test_a_description_that_says_otherwise_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    weights, itos = files(tmp_path)
    (tmp_path / "given.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        import_model(weights, itos, tmp_path, "forward", description=tmp_path / "given.json")


def test_a_description_that_agrees_or_says_nothing_is_taken(tmp_path: Path) -> None:
    weights, itos = files(tmp_path)
    for content in ({"direction": "fwd"}, {"backwards": False}, {"lang": "de"}, {"vocabulary_size": 50}):
        (tmp_path / "given.json").write_text(json.dumps(content))
        import_model(weights, itos, tmp_path, "forward", description=tmp_path / "given.json")


def test_the_command_writes_a_folder_that_loads(tmp_path: Path) -> None:
    weights, itos = files(tmp_path)
    out = tmp_path / "new" / "model"
    status, output, errors = ulmfit_here("import", weights, itos, out, "--direction", "backward")
    assert status == 0, errors
    assert "imported a lstm of 3 layers of 20 units" in output
    assert "set vocabulary.repeats=true, vocabulary.html=true, vocabulary.nfkc=true" in output
    assert sorted(path.name for path in out.iterdir()) == [
        "model.json",
        "model.safetensors",
        "vocabulary.json",
    ]
    model = load_language_model(out, Dropouts(multiplier=0), "backward").eval()
    ids = torch.arange(2, 12)[None]
    torch.testing.assert_close(model(ids).logits, fastai_model()(ids)[0], rtol=1e-5, atol=1e-6)
    with pytest.raises(InputError, match="expected a model that reads forward, found backward"):
        load_language_model(out, Dropouts(), "forward")
    (link := tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for taken in (out, link, Path()):
        with pytest.raises(InputError, match="exists and is no empty folder"):
            import_into_new_folder(weights, itos, taken, "backward", None, print)


@pytest.mark.parametrize(
    ("order", "read"),
    [
        ("bos-first", ["xxbos", "c", "b", "a"]),
        ("bos-last", ["c", "b", "a", "xxbos"]),
        ("eos-first", ["xxeos", "c", "b", "a", "xxbos"]),
    ],
)
def test_backward_texts_are_read_as_the_imported_model_read_them(
    tmp_path: Path, order: BackwardOrder, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    streams: list[np.ndarray] = []
    evaluated: list[str] = []
    plain_loader, plain_losses = fit.StreamLoader, evaluate.document_losses

    def loader(tokens: np.ndarray, *arguments: Any, **options: Any) -> Any:
        streams.append(tokens)
        return plain_loader(tokens, *arguments, **options)

    def losses(*arguments: Any, **options: Any) -> Any:
        evaluated.append(options["order"])
        return plain_losses(*arguments, **options)

    monkeypatch.setattr(fit, "StreamLoader", loader)
    monkeypatch.setattr(evaluate, "document_losses", losses)
    runner = Runner(tmp_path / "runs")
    tokenizer = tiny_pretrain().tokens.tokenizer
    model = imported_stage(tmp_path, "backward", backward_order=order)
    finetune = FineTune(pretrained=model, tokens=target_tokens(tokenizer), settings=ONE_EPOCH)
    stage = classifier(finetune, tokenizer, "backward")
    stage = stage.changed(settings=stage.settings.changed(precision="fp32"))
    runner.build(stage)

    names = load_tokenizer(runner.folder(tokenizer)).vocabulary
    ends = [names[index] for index in (streams[0][0], streams[0][-1])]
    assert ("xxbos" in ends, "xxeos" in ends) == (True, order == "eos-first")
    assert (ends[0] == "xxbos") == (order == "bos-first")
    assert set(evaluated) == {order}
    folders = [runner.folder(one) for one in (model, finetune, stage)]
    said = {read_json(folder / "model.json").get("backward_order", "bos-first") for folder in folders}
    assert said == {order}
    loaded = load_classifier(folders[2], runner.folder(tokenizer), device="cpu")
    ids = np.array([loaded.tokenizer.bos_id, 10, 11, 12])
    shown = {10: "a", 11: "b", 12: "c"}
    assert [shown.get(index, names[index]) for index in loaded.as_read(ids).tolist()] == read
    texts = pandas.read_parquet(runner.folder(stage.dataset) / "test.parquet")["text"].tolist()
    written = read_predictions(folders[2] / "predictions-test.parquet", loaded.labels)
    np.testing.assert_allclose(loaded.probabilities(texts), written.probabilities, atol=1e-6)


def test_an_order_of_backward_texts_is_for_models_that_read_backward(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="backward_order is for models that read backward"):
        imported_stage(tmp_path, backward_order="bos-last")
    weights, itos = files(tmp_path)
    for direction, order in (("forward", "bos-last"), ("backward", "last")):
        with pytest.raises(InputError, match=f"--backward-order {order}: expected bos-first, bos-last, eos"):
            import_into_new_folder(weights, itos, tmp_path / "out", direction, None, print, order)
    out = tmp_path / "out"
    import_into_new_folder(weights, itos, out, "backward", None, print, "bos-last")
    assert read_json(out / "model.json")["backward_order"] == "bos-last"
    with pytest.raises(InputError, match=r"backward_order bos-first was given, but .* says bos-last"):
        import_into_new_folder(weights, itos, tmp_path / "2", "backward", out / "model.json", print)


def test_a_frequent_piece_that_is_never_written_is_named(tmp_path: Path) -> None:
    pieces = [*SPECIAL, "▁,", *SYLLABLES]
    weights, itos = files(tmp_path, pieces=(pieces + [f"▁w{n}" for n in range(50)])[:VOCABULARY])
    model = ImportedModel(weights=File(path=weights), vocabulary=File(path=itos), direction="forward")
    tokenizer = tiny_pretrain().tokens.tokenizer
    finetune = FineTune(pretrained=model, tokens=target_tokens(tokenizer), settings=ONE_EPOCH)
    folder = Runner(tmp_path / "runs").build(finetune)
    warnings = json.loads((folder / "manifest.json").read_text())["warnings"]
    assert [
        warning for warning in warnings if "1 of the 1 most frequent pieces" in warning and "▁," in warning
    ]


def test_a_tokenizer_can_be_tried_on_a_text(tmp_path: Path) -> None:
    pieces = [*SPECIAL, "▁,", "▁ka", *(f"▁w{n}" for n in range(300))][:VOCABULARY]
    weights, itos = files(tmp_path, pieces=pieces)
    (tmp_path / "text.txt").write_text("ka, ka , ka\n" * 200)
    rules = Rules(language="toy")
    said = {}
    for name, own in (("apart", ["▁ka", "▁,"]), ("joined", ["▁ka", ","])):
        (tmp_path / name).mkdir()
        WordsTokenizer([*reserved_pieces(rules), *own], rules).save(tmp_path / name)
        lines: list[str] = []
        import_into_new_folder(
            weights,
            itos,
            tmp_path / f"{name}-out",
            "forward",
            None,
            lines.append,
            tokenizer=tmp_path / name,
            text=tmp_path / "text.txt",
        )
        said[name] = [line for line in lines if line.startswith("warning: ")]
    assert said["apart"] == []
    assert len(said["joined"]) == 1 and "1 of the 1 most frequent pieces" in said["joined"][0]
    with pytest.raises(InputError, match="--tokenizer and --text belong together"):
        import_into_new_folder(
            weights, itos, tmp_path / "x", "forward", None, print, text=tmp_path / "text.txt"
        )


def test_a_failed_import_leaves_nothing(tmp_path: Path) -> None:
    weights, itos = files(tmp_path, pieces=vocabulary(49))
    with pytest.raises(InputError, match="has 49 entries"):
        import_into_new_folder(weights, itos, tmp_path / "out", "forward", None, print)
    with pytest.raises(InputError, match="--direction up: expected forward or backward"):
        import_into_new_folder(weights, itos, tmp_path / "out", "up", None, print)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["de_itos.pkl", "de_wgts.pth"]


def test_an_imported_folder_can_be_imported_again(tmp_path: Path) -> None:
    weights, itos = files(tmp_path)
    import_model(weights, itos, tmp_path, "forward")
    (tmp_path / "again").mkdir()
    import_model(
        tmp_path / "model.safetensors",
        tmp_path / "vocabulary.json",
        tmp_path / "again",
        "forward",
        description=tmp_path / "model.json",
    )
    for name in ("model.safetensors", "model.json", "vocabulary.json"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocabulary_size": 51}, "says vocabulary_size 51, the embedding in model.safetensors has 50 rows"),
        ({"kind": "awd_qrnn"}, "says kind awd_qrnn, its architecture lstm"),
        (
            {"architecture": SIZE.changed(hidden_size=1152).model_dump()},
            r"has shape \(80, 20\), the model's is \(4608, 1152\)",
        ),
    ],
)
def test_a_folder_whose_files_disagree_is_refused_with_the_numbers(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    weights, itos = files(tmp_path)
    import_model(weights, itos, tmp_path, "forward")
    content = read_json(tmp_path / "model.json")
    (tmp_path / "model.json").write_text(json.dumps({**content, **change}))
    with pytest.raises(InputError, match=message) as caught:
        load_language_model(tmp_path, Dropouts())
    assert not re.search(r"\n", str(caught.value))
