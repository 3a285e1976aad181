"""Predicts a pool of texts, and adds those with a high probability to train."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy
import pandas

from ulmfit.classifier.folder import load_classifier
from ulmfit.classifier.pseudo_labels import PseudoLabelled
from ulmfit.classifier.stages import TrainClassifier
from ulmfit.datasets.subsets import free_prefix, with_unlabelled, write_derived
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import atomic_path, read_json, write_json
from ulmfit.pipeline.stage import Work

CHOSEN, REPORT, GOLD = "pseudo-labels.parquet", "pseudo-labels.json", "pseudo-labels-gold.json"
PREFIX = "pseudo/"
"""Prefix of the pool's ids in train."""
POOL_PREFIX = "pool/"
"""Prefix of the pool's ids among the unlabelled texts."""


@dataclass(frozen=True)
class Pool:
    """Texts that may be added: ids and texts, and how many were left out for which reason."""

    ids: list[str]
    texts: list[str]
    left_out: dict[str, int]


def build(stage: PseudoLabelled, work: Work) -> None:
    """Build a `PseudoLabelled` stage."""
    folder = work.input(stage.dataset)
    labels: list[str] = read_json(folder / "dataset.json")["labels"]
    train = pandas.read_parquet(folder / "train.parquet")
    source = _pool_file(stage, folder, work)
    pool = read_pool(source, folder)
    if not pool.ids:
        raise InputError(
            f"{stage.stage_name}: the pool holds no text that the data set does not have already"
        )
    probabilities = numpy.mean([predicted(one, pool.texts, work) for one in stage.classifiers], axis=0)
    places = choose(probabilities, stage.threshold, stage.per_label)
    if not places:
        raise InputError(
            f"{stage.stage_name}: no text of the pool reaches threshold {stage.threshold:g}, the surest has "
            f"{probabilities.max():.3f}: lower it"
        )
    chosen = pandas.DataFrame(
        {
            "id": [pool.ids[place] for place in places],
            "text": [pool.texts[place] for place in places],
            "label": [labels[number] for number in probabilities[places].argmax(axis=1)],
            "confidence": probabilities[places].max(axis=1),
        }
    )
    prefix = free_prefix(PREFIX, chosen["id"], train["id"])
    added = chosen.assign(id=prefix + chosen["id"])[["id", "text", "label"]]
    others = _unlabelled(folder, pool, chosen)
    write_derived(
        folder, work.folder, pandas.concat([train, added], ignore_index=True), stage.record_label, others
    )
    with atomic_path(work.folder / CHOSEN) as temporary:
        chosen[["id", "label", "confidence"]].to_parquet(temporary, index=False, compression="zstd")
    counts = {label: int((chosen["label"] == label).sum()) for label in labels}
    content = {
        "classifiers": len(stage.classifiers),
        "threshold": stage.threshold,
        "per_label": stage.per_label,
        "pool": len(pool.ids),
        "left_out": pool.left_out,
        "added": len(chosen),
        "counts": counts,
        "mean_confidence": float(chosen["confidence"].mean()),
    }
    write_json(work.folder / REPORT, content)
    shares = ", ".join(f"{label} {count:,}" for label, count in counts.items())
    work.log(f"{len(chosen):,} of {len(pool.ids):,} texts of the pool added to {len(train):,}: {shares}")
    if lacking := [label for label, count in counts.items() if not count]:
        work.warn(
            f"no text of the pool was taken for label {', '.join(map(repr, lacking))}: the others weigh more "
            f"now than in the labelled texts; lower threshold (per_label bounds the others)"
        )
    if stage.pool is not None:
        _compare(source, chosen, work)


def choose(probabilities: numpy.ndarray, threshold: float, per_label: int | None) -> list[int]:
    """Return the rows of probabilities (texts, K) that are taken, in their order.

    A row counts for its most probable label (the first of equal ones). Of each label the `per_label` rows of
    the highest probability are taken, the first of equal ones, among those of `threshold` or more.
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    taken: list[int] = []
    for label in range(probabilities.shape[1]):
        rows = numpy.flatnonzero((predicted == label) & (confidence >= threshold))
        surest_first = rows[numpy.argsort(-confidence[rows], kind="stable")]
        taken += surest_first[:per_label].tolist()
    return sorted(taken)


def read_pool(source: Path, dataset: Path) -> Pool:
    """Read the ids and texts of a table, without those that a split of the data set has, and repeated ones.

    A text of validation or test in train, with a predicted label, would make the scores look too good.
    """
    table, left_out = without_known(pandas.read_parquet(source, columns=["id", "text"]), dataset)
    return Pool(table["id"].tolist(), table["text"].tolist(), left_out)


def without_known(table: pandas.DataFrame, dataset: Path) -> tuple[pandas.DataFrame, dict[str, int]]:
    """Return the rows of a table whose text no split of the data set has, each text once.

    With them how many were left out for which reason.
    """
    left_out = {}
    for split in ("train", "valid", "test"):
        known = set(pandas.read_parquet(dataset / f"{split}.parquet", columns=["text"])["text"])
        found = table["text"].isin(known)
        left_out[f"in {split}"] = int(found.sum())
        table = table[~found]
    repeated = table["text"].duplicated()
    left_out["repeated"] = int(repeated.sum())
    return table[~repeated], left_out


def _pool_file(stage: PseudoLabelled, folder: Path, work: Work) -> Path:
    if stage.pool is not None:
        return work.input(stage.pool) / "train.parquet"
    path = folder / "unlabelled.parquet"
    if not path.exists():
        raise InputError(
            f"{stage.stage_name}: the data set has no unlabelled texts: give it some, or name a larger data "
            f"set as pool"
        )
    return path


def predicted(stage: TrainClassifier, texts: list[str], work: Work) -> numpy.ndarray:
    """Return the probabilities (texts, K) of one classifier."""
    settings = stage.settings
    classifier = load_classifier(
        work.input(stage),
        work.input(stage.tokenizer),
        device=settings.device,
        precision=settings.precision,
        engine=settings.engine,
        evaluation_batch=settings.evaluation_batch,
        log=work.log,
    )
    return classifier.probabilities(texts)


def _unlabelled(folder: Path, pool: Pool, chosen: pandas.DataFrame) -> dict[str, pandas.DataFrame]:
    """Return the texts of data set and pool that have not become training texts, where there are any."""
    rest = pandas.DataFrame({"id": pool.ids, "text": pool.texts}, dtype=str)
    table = with_unlabelled(folder, rest, POOL_PREFIX)["unlabelled"]
    table = table[~table["text"].isin(chosen["text"])].reset_index(drop=True)
    return {} if table.empty else {"unlabelled": table}


def _compare(source: Path, chosen: pandas.DataFrame, work: Work) -> None:
    """Write how many predicted labels are right; nothing else uses the pool's own labels."""
    gold = pandas.read_parquet(source, columns=["id", "label"]).set_index("id")["label"]
    right = chosen["label"].to_numpy() == gold[chosen["id"]].to_numpy()
    by_label = {
        label: float(right[(chosen["label"] == label).to_numpy()].mean())
        for label in sorted(set(chosen["label"]))
    }
    content = {"texts": len(chosen), "accuracy": float(right.mean()), "accuracy_by_predicted_label": by_label}
    write_json(work.folder / GOLD, content)
    work.log(f"{100 * right.mean():.1f} % of the added labels are right, by the pool's own")
