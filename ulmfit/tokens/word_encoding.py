"""Many texts -> ids, word by word, and each distinct word once.

Texts are cut at the usual white space into chunks, the distinct chunks of a batch are found by hashing, and
only those that are not remembered go through the tokenizer. The ids of all chunks are then gathered. All of
it works on whole arrays: Python code runs once per new distinct word, not once per word of the text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Protocol

import numpy as np
import pyarrow as pa
from pyarrow import compute

from ulmfit.corpus.words import count_words, has_unspaced
from ulmfit.tokens.arrays import token_dtype
from ulmfit.tokens.marks import are_normal_words, normalize, without_half_surrogates
from ulmfit.tokens.repeats import collapse_words
from ulmfit.tokens.text_form import TextForm

REMEMBERED_CHUNKS = 60_000
"""Frequent distinct chunks, remembered from batch to batch; with more of them hashing gets slower."""
LONGEST_REMEMBERED = 64
"""Bytes."""
LIST_BATCH_CHARACTERS = 2_000_000
BLOCK, GROUP = 16_384, 128
"""Chunks that are encoded together, and of those the ones that are normalised together."""
SEPARATORS = " \n\u00a0"
"""Where texts are cut; other white space is left to the normalisation of the chunks."""
SPACE, LINE_END, *NO_BREAK_SPACE = SEPARATORS.encode()


@dataclass(frozen=True)
class EncodedTexts:
    """The ids of some texts."""

    tokens: np.ndarray
    """Ids of all texts one after another, each beginning with xxbos; uint16 or uint32, shape (tokens,)."""
    offsets: np.ndarray
    """Begin of each text in `tokens`, and the end of the last; int64, shape (texts + 1,)."""
    words: np.ndarray
    """Words in each raw text, as `corpus.words.count_words` has them; int, shape (texts,)."""


@dataclass(frozen=True)
class Chunks:
    """Distinct chunks and what is known of each; every field has one entry per chunk."""

    text: pa.BinaryArray
    """UTF-8, with the separator behind the chunk if there was one."""
    ids: pa.BinaryArray
    """The bytes of an array of ids."""
    words: np.ndarray
    """Words in the raw chunk, as `corpus.words.count_words` has them; int32."""
    normal_words: np.ndarray
    """Words of the normalised chunk; int32."""
    hits: np.ndarray
    """How often the chunk was met, recent batches counting more; int64."""

    def __len__(self) -> int:
        return len(self.text)

    def followed_by(self, other: Chunks) -> Chunks:
        """Return the chunks of both."""
        return Chunks(
            pa.concat_arrays([self.text, other.text]),
            pa.concat_arrays([self.ids, other.ids]),
            np.concatenate([self.words, other.words]),
            np.concatenate([self.normal_words, other.normal_words]),
            np.concatenate([self.hits, other.hits]),
        )

    def take(self, chosen: np.ndarray) -> Chunks:
        """Return the chunks at the indices `chosen`."""
        indices = arrow_integers(chosen)
        return Chunks(
            self.text.take(indices),
            self.ids.take(indices),
            self.words[chosen],
            self.normal_words[chosen],
            self.hits[chosen],
        )


class EncodesWords(Protocol):
    """What a tokenizer gives for its words to be encoded (`Tokenizer` says what each part is)."""

    size: int
    bos_id: int
    repetition_id: int | None
    form: TextForm

    def encode_words(self, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids of normalised words and how many each word has."""


class WordEncoder:
    """Encodes batches of texts with one tokenizer and remembers frequent words between them.

    The ids depend on the tokenizer and the texts alone. It is for one thread at a time.
    """

    def __init__(self, tokenizer: EncodesWords) -> None:
        self._tokenizer = tokenizer
        self._dtype = token_dtype(tokenizer.size)
        self._known = self._new_chunks(arrow_strings([]).cast(pa.binary()))

    def encode_list(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return one int32 array of ids per text."""
        encoded: list[np.ndarray] = []
        for batch in _batches(texts):
            result = self.encode(batch)
            encoded += np.split(result.tokens.astype(np.int32), result.offsets[1:-1])
        return encoded

    def encode(self, texts: pa.StringArray) -> EncodedTexts:
        """Return the ids of a batch of texts."""
        form = self._tokenizer.form
        if not form.rules.reading():
            return self._encode_plain(texts)
        # These steps move the ends of words, so they come before texts are cut.
        raw = texts.to_pylist()
        encoded = self._encode_plain(arrow_strings([form.normal(text) for text in raw]))
        return replace(encoded, words=np.array(list(map(count_words, raw)), np.int64))

    def _encode_plain(self, texts: pa.StringArray) -> EncodedTexts:
        """Return the ids of texts that have no steps before `normalize`."""
        encoded, table, codes, ends = self._encode(texts)
        mark = self._tokenizer.repetition_id
        if mark is None:
            return encoded
        if (table.normal_words[codes] > 1).any():
            normal = arrow_strings([normalize(text) for text in texts.to_pylist()])
            again, table, codes, ends = self._encode(normal)
            encoded = replace(again, words=encoded.words)
        return self._with_repetitions(encoded, texts, _with_equal_neighbours(table, codes, ends), mark)

    def _encode(self, texts: pa.StringArray) -> tuple[EncodedTexts, Chunks, np.ndarray, np.ndarray]:
        """Return the ids without marks for repeated words.

        Beside them: distinct chunks, the indices of the texts' chunks in them, and the ends of the texts in
        those indices, (texts + 1,).
        """
        chunks, ends = _cut(texts)
        table, codes = self._look_up(chunks)
        gathered = table.ids.take(arrow_integers(codes))
        begins = _offsets(gathered)[ends].astype(np.int64) // self._dtype.itemsize
        tokens = np.insert(_bytes(gathered).view(self._dtype), begins[:-1], self._tokenizer.bos_id)
        words = np.append(0, np.cumsum(table.words[codes], dtype=np.int32))[ends]
        encoded = EncodedTexts(tokens, begins + np.arange(len(begins)), np.diff(words))
        return encoded, table, codes, ends

    def _look_up(self, chunks: pa.BinaryArray) -> tuple[Chunks, np.ndarray]:
        """Return a table of distinct chunks, and the row of each of `chunks` in it."""
        if not len(chunks):
            return self._known, np.zeros(0, np.int32)
        # One table for both, so that remembered chunks keep their numbers and new ones follow.
        coded = pa.chunked_array([self._known.text, chunks]).dictionary_encode()
        coded = coded.chunk(coded.num_chunks - 1)
        codes = _codes(coded)
        table = self._known.followed_by(self._new_chunks(coded.dictionary[len(self._known) :]))
        table = replace(table, hits=table.hits // 2 + np.bincount(codes, minlength=len(table)))
        self._known = _most_frequent(table)
        return table, codes

    def _new_chunks(self, chunks: pa.BinaryArray) -> Chunks:
        """Encode chunks that are not known yet, block by block: strings take more memory than ids."""
        parts = [self._encode_chunks(chunks[first : first + BLOCK]) for first in range(0, len(chunks), BLOCK)]
        parts = parts or [self._encode_chunks(chunks)]
        return Chunks(
            text=chunks,
            ids=pa.concat_arrays([ids for ids, _, _ in parts]),
            words=np.concatenate([words for _, words, _ in parts]),
            normal_words=np.concatenate([normal_words for _, _, normal_words in parts]),
            hits=np.zeros(len(chunks), np.int64),
        )

    def _encode_chunks(self, chunks: pa.BinaryArray) -> tuple[pa.BinaryArray, np.ndarray, np.ndarray]:
        """Return the ids of chunks, and how many words each has, raw and normalised."""
        trimmed = compute.utf8_rtrim(chunks.cast(pa.string()), SEPARATORS)
        words, raw_counts, counts = _normal_words(trimmed.to_pylist())
        ids, lengths = self._tokenizer.encode_words(words)
        ends = np.append(0, np.cumsum(lengths))[np.append(0, np.cumsum(counts))] * self._dtype.itemsize
        buffers = [None, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(ids.astype(self._dtype))]
        return pa.Array.from_buffers(pa.binary(), len(chunks), buffers), raw_counts, counts

    def _with_repetitions(
        self, encoded: EncodedTexts, texts: pa.StringArray, chosen: np.ndarray, mark: int
    ) -> EncodedTexts:
        """Encode the texts at the indices `chosen` again, with marks for repeated words."""
        lengths = np.diff(encoded.offsets)
        parts: list[np.ndarray] = []
        end = 0
        for index in chosen:
            ids = self._encode_repetitions(normalize(texts[index].as_py()), mark)
            parts += [encoded.tokens[end : encoded.offsets[index]], ids]
            lengths[index] = len(ids)
            end = encoded.offsets[index + 1]
        tokens = np.concatenate([*parts, encoded.tokens[end:]], dtype=self._dtype, casting="unsafe")
        return replace(encoded, tokens=tokens, offsets=np.append(0, np.cumsum(lengths)))

    def _encode_repetitions(self, text: str, mark: int) -> np.ndarray:
        words, numbers = collapse_words(text.split(" "))
        ids, lengths = self._tokenizer.encode_words(words)
        begins = np.append(0, np.cumsum(lengths))[numbers]
        return np.append(self._tokenizer.bos_id, np.insert(ids, begins, mark))


def arrow_integers(numbers: np.ndarray) -> pa.Array:
    """Return integers as an Arrow array over the same memory.

    `pyarrow.array` would import pandas, and so would `to_numpy` on the way back.
    """
    kind = pa.from_numpy_dtype(numbers.dtype)
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(numbers)])


def arrow_strings(texts: Sequence[str]) -> pa.StringArray:
    """Return texts as an Arrow array, with U+FFFD in place of halves of surrogate pairs."""
    contents = [_utf8(text) for text in texts]
    offsets = np.append(0, np.cumsum([len(content) for content in contents])).astype(np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(contents))]
    return pa.Array.from_buffers(pa.string(), len(contents), buffers)


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return without_half_surrogates(text).encode()


def _batches(texts: Sequence[str]) -> Iterator[pa.StringArray]:
    batch: list[str] = []
    characters = 0
    for text in texts:
        batch.append(text)
        characters += len(text)
        if characters >= LIST_BATCH_CHARACTERS:
            yield arrow_strings(batch)
            batch, characters = [], 0
    if batch:
        yield arrow_strings(batch)


def _cut(texts: pa.StringArray) -> tuple[pa.BinaryArray, np.ndarray]:
    """Return the chunks of all texts, each with what it ends in, and the texts' ends among them.

    The chunks lie in the memory of `texts`. The ends are int64, shape (texts + 1,); the first is 0.
    """
    offsets = _offsets(texts)
    ends = offsets[1:] - offsets[0]
    last = _separators(_bytes(texts))
    last[ends[ends > 0] - 1] = True
    boundaries = np.zeros(np.count_nonzero(last) + 1, np.int32)
    boundaries[1:] = np.flatnonzero(last)
    boundaries[1:] += 1
    ends_of_texts = np.append(0, np.searchsorted(boundaries, ends))
    boundaries += offsets[0]
    buffers = [None, pa.py_buffer(boundaries), texts.buffers()[2]]
    return pa.Array.from_buffers(pa.binary(), len(boundaries) - 1, buffers), ends_of_texts


def _separators(characters: np.ndarray) -> np.ndarray:
    """Return which bytes of UTF-8 end a separator; bool, of the same shape."""
    last = characters == SPACE
    last |= characters == LINE_END
    no_break = characters[1:] == NO_BREAK_SPACE[1]
    no_break &= characters[:-1] == NO_BREAK_SPACE[0]
    last[1:] |= no_break
    return last


def _offsets(array: pa.BinaryArray | pa.StringArray) -> np.ndarray:
    """Return where the entries of `array` begin in its buffer, and the end of the last; int32."""
    return np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + len(array) + 1]


def _codes(array: pa.DictionaryArray) -> np.ndarray:
    """Return the index of each entry of `array` in its dictionary; int32."""
    indices = array.indices
    return np.frombuffer(indices.buffers()[1], np.int32)[indices.offset : indices.offset + len(indices)]


def _bytes(array: pa.BinaryArray | pa.StringArray) -> np.ndarray:
    """Return the bytes of all entries of `array`, uint8."""
    offsets = _offsets(array)
    content = array.buffers()[2]
    return np.frombuffer(content or b"", np.uint8)[offsets[0] : offsets[-1]]


def _normal_words(chunks: list[str]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return the normalised words of all chunks, and how many each has: words of its raw form, and those."""
    words: list[str] = []
    raw_counts = np.ones(len(chunks), np.int32)
    counts = np.ones(len(chunks), np.int32)
    for first in range(0, len(chunks), GROUP):
        group = chunks[first : first + GROUP]
        if has_unspaced("".join(group)):
            raw_counts[first : first + GROUP] = list(map(count_words, group))
        if are_normal_words(group):
            words += group
        else:
            lines = [normalize(chunk).split() for chunk in group]
            words += chain.from_iterable(lines)
            counts[first : first + GROUP] = list(map(len, lines))
            raw_counts[first : first + GROUP] = list(map(count_words, group))
    return words, raw_counts, counts


def _most_frequent(table: Chunks) -> Chunks:
    """Return the chunks that are worth remembering, the most frequent first: they lie together."""
    rarity = 0xFFFF - np.minimum(table.hits, 0xFFFF).astype(np.uint16)
    order = np.argsort(rarity, kind="stable")
    short = np.diff(_offsets(table.text)) <= LONGEST_REMEMBERED
    return table.take(order[short[order]][:REMEMBERED_CHUNKS])


def _with_equal_neighbours(table: Chunks, codes: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the indices of the texts in which words of equal ids may follow each other three times."""
    groups = _codes(table.ids.dictionary_encode())[codes]
    places = np.flatnonzero(table.normal_words[codes])
    groups = groups[places]
    equal = groups[1:] == groups[:-1]
    found = places[:-2][equal[1:] & equal[:-1]]
    return np.unique(np.searchsorted(ends[1:], found, side="right"))
