"""Tiny transformers with random weights and vocabularies of their own, written as the hub has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import torch
from stages_for_tests import SYLLABLES, InventedDataset, hash_of, invented_text

from ulmfit.evaluation.transformer_model import _transformers
from ulmfit.evaluation.transformer_stages import TransformerClassifier, TransformerSettings
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.stage import Work


class ShortTexts(InventedDataset):
    """Two invented words and one that tells the label."""

    stage_name: ClassVar[str] = "short_texts"

    def build(self, work: Work) -> None:
        """Write the tables of the invented data set with shorter texts."""
        import pandas

        super().build(work)
        for split in ("train", "valid", "test"):
            table = pandas.read_parquet(work.folder / f"{split}.parquet")
            words = [invented_text(hash_of(split, row), 2) for row in range(self.rows)]
            telling = ["kalomi" if label == "yes" else "dusapo" for label in table["label"]]
            texts = [" ".join(parts) for parts in zip(words, telling, strict=True)]
            table.assign(text=texts).to_parquet(work.folder / f"{split}.parquet", index=False)


SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
SIZE |= {"initializer_range": 0.3, "hidden_dropout_prob": 0.1}
CARD = "---\nlicense: mit\nlanguage: qaa\n---\n# A model of nothing\n"


def tiny_bert(folder: Path, **changes: Any) -> Path:
    """Write a BERT with a vocabulary of whole syllables and the two telling words, as vocab.txt."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "kalomi", "dusapo"]
    pieces += [*SYLLABLES, *(f"##{syllable}" for syllable in SYLLABLES)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", "utf-8")
    describe(folder, tokenizer_class="BertTokenizer", do_lower_case=True)
    return _saved(
        "Bert",
        folder,
        {"vocab_size": len(pieces), "max_position_embeddings": 32, "pad_token_id": 0, **changes},
    )


def tiny_roberta(folder: Path, **changes: Any) -> Path:
    """Write a RoBERTa with a byte-level BPE vocabulary, as vocab.json and merges.txt."""
    from tokenizers import ByteLevelBPETokenizer

    tokenizer = ByteLevelBPETokenizer()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator(_texts(), vocab_size=320, special_tokens=specials, show_progress=False)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_model(str(folder))
    describe(folder, tokenizer_class="RobertaTokenizer")
    size = tokenizer.get_vocab_size()
    return _saved("Roberta", folder, {"vocab_size": size, "max_position_embeddings": 34, **changes})


def tiny_xlm_roberta(folder: Path, **changes: Any) -> Path:
    """Write an XLM-R whose vocabulary is nothing but a SentencePiece model."""
    import io

    import sentencepiece

    content = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_texts()),
        model_writer=content,
        vocab_size=120,
        num_threads=1,
        minloglevel=2,
        hard_vocab_limit=False,
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sentencepiece.bpe.model").write_bytes(content.getvalue())
    describe(folder, tokenizer_class="XLMRobertaTokenizer")
    pieces = sentencepiece.SentencePieceProcessor(model_proto=content.getvalue()).get_piece_size()
    # Of the library: a padding piece in front, a mask behind.
    return _saved("XLMRoberta", folder, {"vocab_size": pieces + 2, "max_position_embeddings": 34, **changes})


def describe(folder: Path, **entries: Any) -> None:
    """Write the tokenizer's description, and a card."""
    (folder / "tokenizer_config.json").write_text(json.dumps(entries), "utf-8")
    (folder / "README.md").write_text(CARD, "utf-8")


def change_config(folder: Path, **entries: Any) -> None:
    """Change entries of the model's config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | entries), "utf-8")


def classifier(folder: Path, seed: int = 0, rows: int = 48, **changes: Any) -> TransformerClassifier:
    """Return a stage that learns the invented data set from the model in `folder`."""
    settings = TransformerSettings(
        epochs=4, batch_size=8, learning_rate=1e-2, maximum_tokens=32, device="cpu"
    )
    return TransformerClassifier(
        dataset=ShortTexts(rows=rows),
        pretrained=File(path=folder),
        settings=settings.changed(**changes),
        seed=seed,
    )


def _texts() -> list[str]:
    return [f"{invented_text(seed, 30)} kalomi dusapo" for seed in range(40)]


def _saved(family: str, folder: Path, config: dict[str, Any]) -> Path:
    """Save a masked language model, which is what is published, without a classifier's head."""
    with _transformers() as library:
        torch.manual_seed(1)
        model = getattr(library, f"{family}ForMaskedLM")(
            getattr(library, f"{family}Config")(**SIZE, **config)
        )
        model.save_pretrained(folder)
    return folder
