"""Training: every line arrives, everything is counted, the same input makes the same model."""

import re

import pytest
from texts_for_tests import corpus, trained

from ulmfit.pipeline.errors import InputError
from ulmfit.tokens import sentencepiece_training as module
from ulmfit.tokens.sentencepiece_training import TrainingLines, train_tokenizer
from ulmfit.tokens.text_form import Rules, TextForm

GERMAN = Rules(language="de")


def lines_of(*texts: str, rules: Rules = GERMAN) -> tuple[list[str], TrainingLines]:
    account = TrainingLines(texts, TextForm(rules))
    return list(account), account


@pytest.mark.parametrize(
    "text",
    [
        "Ein Satz, der gut ist. " * 3000,
        "A B C D " * 5000,
        "長" * 9000,
        "x. " + "y" * 9000,
        "ab" * 2096,
        "Ä" * 2095 + " b",
    ],
)
@pytest.mark.parametrize("rules", [GERMAN, Rules(language="de", repeats=True)], ids=["marks", "repeats"])
def test_long_paragraphs_are_split_not_dropped(text, rules):
    lines, account = lines_of(text, rules=rules)
    form = TextForm(rules)
    assert max(len(line.encode()) for line in lines) <= module.TRAINING_LINE_BYTES
    assert "".join(map(form.read, lines)).replace(" ", "") == text.replace(" ", "")
    assert (account.paragraphs, account.split_paragraphs) == (1, int(len(lines) > 1))
    if text.startswith("Ein Satz"):
        assert all(line.endswith("ist.") for line in lines)
        assert " ".join(map(form.read, lines)) == text.strip()


def test_everything_is_counted():
    lines, account = lines_of("Ein\u2585 Satz.\n\n \nNoch\u2585\u2585 einer.", "", "x " * 3000)
    assert lines[:2] == ["\ue0f1 ein \ue0f1satz.".replace(" \ue0f1", "\ue0f1 "), "\ue0f1 noch einer."]
    assert (account.texts, account.paragraphs, account.split_paragraphs) == (3, 3, 1)
    assert account.reserved == 3
    assert account.lines == len(lines) == 4
    assert account.bytes == sum(len(line.encode()) for line in lines)
    assert account.characters.total() == sum(map(len, lines))


def long_and_reserved() -> list[str]:
    texts = corpus()
    texts[3] = "Ein \u2585 Zeichen, das es trifft.\n" + texts[3]
    texts[5] = "Der Hund ging weiter und weiter. " * 500
    texts[7] = "der" * 4000
    return texts


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
@pytest.mark.parametrize("byte_fallback", [False, True])
def test_sentencepiece_skips_nothing(model_type, byte_fallback, monkeypatch, capfd):
    """By its own account."""
    monkeypatch.setattr(module, "LOG_LEVEL", 0)
    said: list[str] = []
    train_tokenizer(
        long_and_reserved(),
        Rules(language="de", repeats=True),
        vocab_size=400,
        model_type=model_type,
        byte_fallback=byte_fallback,
        log=said.append,
    )
    log = capfd.readouterr().err
    lines, account = lines_of(*long_and_reserved(), rules=Rules(language="de", repeats=True))
    assert re.findall(r"Loaded all (\d+) sentences", log) == [str(len(lines))]
    assert not re.search(r"Skipped (?!0 )\d+|too long lines|[Rr]eserved chars", log)
    assert f"{account.lines:,} lines of {account.bytes:,} bytes, none dropped" in said[0]
    assert "1 times U+2585 read as a space" in said[0]
    assert f"{account.split_paragraphs} of them long ones" in said[0]


def test_characters_without_a_piece_are_counted():
    said: list[str] = []
    train_tokenizer([*corpus(), "Ж"], GERMAN, vocab_size=300, character_coverage=0.9995, log=said.append)
    found = re.search(r"(\d+) of \d+ characters got no piece \((0\.\d+)% of the text\)", said[0])
    assert found and int(found[1]) > 0 and 0 < float(found[2]) <= 0.05
    said.clear()
    train_tokenizer(corpus(), GERMAN, vocab_size=300, character_coverage=1, log=said.append)
    assert re.search(r" 0 of \d+ characters got no piece \(0.0000% of the text\)", said[0])


def test_training_is_deterministic():
    settings = {"vocab_size": 300, "character_coverage": 1.0}
    assert train_tokenizer(corpus(), GERMAN, **settings)._model == trained("de")._model


def test_bytes_leave_room_for_pieces():
    with pytest.raises(InputError, match=r"vocab_size 270 is too small: .* alone are \d+"):
        train_tokenizer(corpus(), GERMAN, vocab_size=270, byte_fallback=True)


def test_too_small_a_vocabulary_names_the_size_needed():
    with pytest.raises(InputError, match=r"vocab_size 12 is too small: .* alone are \d+"):
        train_tokenizer(corpus(), GERMAN, vocab_size=12)


def test_no_text_at_all():
    with pytest.raises(InputError, match="hold no text"):
        train_tokenizer(["", " \n "], GERMAN)


def test_errors_of_the_reader_are_not_swallowed():
    def broken():
        yield "some text"
        raise InputError("file is gone")

    with pytest.raises(InputError, match="file is gone"):
        train_tokenizer(broken(), GERMAN, vocab_size=20)


def test_a_signal_that_ends_the_process_is_not_taken_for_a_fault():
    def stopped():
        yield "some text"
        raise SystemExit(143)

    with pytest.raises(SystemExit) as caught:
        train_tokenizer(stopped(), GERMAN, vocab_size=20)
    assert caught.value.code == 143


def test_training_writes_no_files(tmp_path, monkeypatch):
    for variable in ("TMPDIR", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    train_tokenizer(corpus(), GERMAN, vocab_size=300, character_coverage=1.0)
    assert not list(tmp_path.iterdir())


def test_training_silently(capfd):
    train_tokenizer(corpus(), GERMAN, vocab_size=100_000)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
