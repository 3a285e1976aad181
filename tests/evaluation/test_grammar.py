"""Minimal pairs: files of them, floors, and the grammar card."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from stages_for_tests import InventedCorpus, invented_text, tiny_pretrain

from ulmfit.evaluation.grammar import Characters, _won, read_grammar, summarised, unigram_scores
from ulmfit.evaluation.grammar_card import ALL, GrammarSummary
from ulmfit.evaluation.minimal_pairs import GrammarCard, PairFile
from ulmfit.evaluation.pair_files import Pair, read_pairs, stored_pairs
from ulmfit.language_model.stages import Pretrain
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.runner import Runner
from ulmfit.report.record_tables import grammar_table

PAIRS = [Pair("agreement", "the cat sleeps", "the cat sleep"), Pair("case", "he sees him", "he sees he")]
FORMS = {
    "table": ("pairs.tsv", "construction\tright\twrong\n{0}\t{1}\t{2}\n{3}\t{4}\t{5}\n"),
    "multiblimp": ("data.tsv", "sen\twrong_sen\tphenomenon\n{1}\t{2}\t{0}\n{4}\t{5}\t{3}\n"),
    "turblimp": ("a.csv", 'good_sentence,bad_sentence,phenomenon\n"{1}",{2},{0}\n{4},{5},{3}\n'),
}


@pytest.mark.parametrize("form", FORMS)
def test_tables_of_every_form_are_read(form: str, tmp_path: Path) -> None:
    name, layout = FORMS[form]
    cells = [cell for pair in PAIRS for cell in (pair.construction, pair.right, pair.wrong)]
    (tmp_path / name).write_text(layout.format(*cells), "utf-8")
    assert read_pairs(tmp_path / name, form) == PAIRS


def test_a_table_without_constructions_has_one_of_the_files_name(tmp_path: Path) -> None:
    (tmp_path / "mine.tsv").write_text('right\twrong\na "b"\ta b\n', "utf-8")
    assert read_pairs(tmp_path / "mine.tsv", "table") == [Pair("mine", 'a "b"', "a b")]


CLAMS = {
    "agreement.txt": "True\tthe cat sleeps\nFalse\tthe cat sleep\n",
    "case.txt": "True\the sees him\nFalse\the sees he\n\n",
}


def archive(path: Path, content: dict[str, str]) -> Path:
    with tarfile.open(path, "w:xz") as file:
        for name, text in content.items():
            entry = tarfile.TarInfo(f"clams/{name}")
            entry.size = len(text.encode())
            file.addfile(entry, io.BytesIO(text.encode()))
    return path


def test_clams_is_read_from_a_folder_and_from_an_archive(tmp_path: Path) -> None:
    for name, text in CLAMS.items():
        (tmp_path / name).write_text(text, "utf-8")
    assert read_pairs(tmp_path, "clams") == PAIRS
    assert read_pairs(archive(tmp_path / "c.tar.xz", CLAMS), "clams") == PAIRS


@pytest.mark.parametrize(
    ("name", "content", "form", "message"),
    [
        ("a.tsv", "good\tbad\nx\ty\n", "table", "no column 'right': expected right and wrong"),
        ("a.tsv", "right\twrong\nx\n", "table", "line 2: 1 cells, expected 2"),
        ("a.tsv", "right\twrong\nx\tx\n", "table", "pair 1: expected two different sentences"),
        ("a.tsv", "right\twrong\n", "table", "holds no pair of sentences"),
        ("a.txt", "x", "clams", "is no tar archive"),
        ("a.csv", "x" * 140_000, "table", r"a\.csv is no table \(field larger"),
        ("a.csv", "right,wrong\rx,y\r", "table", r"a\.csv is no table"),
    ],
)
def test_files_of_another_form_are_refused(
    name: str, content: str, form: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(InputError, match=message):
        read_pairs(tmp_path / name, form)


def test_a_wrong_sentence_without_its_right_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.txt, line 1: expected True or False"):
        read_pairs(archive(tmp_path / "c.tar", {"a.txt": "False\tx\nTrue\ty\n"}), "clams")


def test_a_damaged_archive_is_one_line(tmp_path: Path) -> None:
    lines = "".join(f"True\t{number**5}\nFalse\t{number**7}\n" for number in range(5_000))
    path = archive(tmp_path / "c.tar.xz", {"a.txt": lines})
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(InputError, match="is no tar archive"):
        read_pairs(path, "clams")


def test_equal_sentences_count_one_half() -> None:
    assert _won(np.array([-1.0, -2.0, -3.0, -3.0, -2.0, -1.0])).tolist() == [1.0, 0.5, 0.0]


def test_unigrams_count_pieces_and_one_more() -> None:
    train = [np.array([0, 1, 1, 1])]
    scores = unigram_scores(train, [np.array([0, 1]), np.array([0, 2, 2])], size=3)
    assert scores == pytest.approx([np.log(4 / 7), 2 * np.log(1 / 7)])


def test_characters_are_a_distribution_and_know_what_they_have_read() -> None:
    model = Characters(["abcab", "abcabc"])
    letters = [*"abc"]
    whole = sum(np.exp(model.scores([f"ab{letter}"])[0] - model.scores(["ab"])[0]) for letter in letters)
    assert 0.9 < whole < 1, "the rest is for letters that were never seen"
    assert model.scores(["abcabc"])[0] > model.scores(["abcacb"])[0]
    assert np.isfinite(model.scores(["xyz"])[0])


def test_a_card_has_a_line_per_construction_and_one_of_all() -> None:
    pairs = [*PAIRS, PAIRS[1]]
    won = np.array([[1.0, 0.0], [0.5, 0.0], [1.0, 1.0]])
    card = summarised("here", ("model", "floor"), pairs, won)
    assert [(one.name, one.pairs) for one in card.constructions] == [("agreement", 1), ("case", 2), (ALL, 3)]
    assert [one.accuracy for one in card.constructions[1].scores] == [0.75, 0.5]
    low, high = card.constructions[2].scores[1].interval
    assert 0 <= low < 1 / 3 < high <= 1
    assert card == summarised("here", ("model", "floor"), pairs, won)
    table = grammar_table(card)
    assert table.header == ["construction", "pairs", "model", "floor"]
    assert table.lines[0] == ["agreement", "1", "100.0 [100.0, 100.0]", "0.0 [0.0, 0.0]"]


def test_a_language_model_prefers_what_it_has_read(tmp_path: Path) -> None:
    """The wrong sentences are the words of the corpus in an order in which they never stand."""
    lines = ["right\twrong\tconstruction"]
    for row in range(12):
        words = invented_text(row % 7, 12).split()
        lines.append(f"{' '.join(words)}\t{' '.join(word[::-1] for word in words)}\tspelling")
    (tmp_path / "pairs.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    model = tiny_pretrain()
    tokens = model.tokens
    backward = Pretrain(tokens=tokens, settings=model.settings, direction="backward")
    stage = GrammarCard(
        pairs=PairFile(file=File(path=tmp_path / "pairs.tsv")),
        language_models=(model, backward),
        tokenizer=tokens.tokenizer,
        corpus=InventedCorpus(),
    )
    runner = Runner(tmp_path / "runs")
    card = read_grammar(runner.build(stage))
    assert isinstance(card, GrammarSummary) and card.source == "pairs.tsv"
    assert card.models == (
        "language model, forward",
        "language model, backward",
        "language model, forward + backward",
        "unigrams of pieces",
        "character 5-grams",
    )
    assert [one.name for one in card.constructions] == ["spelling", ALL]
    assert all(score.accuracy >= 0.9 for score in card.constructions[0].scores)
    assert len(stored_pairs(runner.folder(stage.pairs))) == 12
