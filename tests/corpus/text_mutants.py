"""Text files, tables and archives that no sane program writes: each is drawn by the number of its seed."""

from __future__ import annotations

import io
import json
import random
import tarfile
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpus.mutations import DAMAGES, DEPTH, Mutant, Random, insert

SENTENCES = (
    "Der Fluss fließt, sagt man, „langsam“.",
    "Rzeka płynie przez miasto; potem dalej.",
    "Река течёт мимо города & AT&amp;T &lt;b&gt;.",
    'A "quoted" word, and 3,14.',
    "川は町を流れる。",
    "نهر طويل",
    "𝔘𝔫𝔦 e\u0301 \u200d\u00ad\u00a0x",
    "",
    "   ",
)
TOKENS = (
    *('"', '""', ",", "\t", ";", "'", "\r", "\r\n", "\n", "\n\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028"),
    *("\0", "\x01", "\x1b[2J", "\x7f", "\ufeff", "\ufffe", "\u202e", "\ue0f1", "\u2581", "\u0301", "\\", "{"),
    *(
        "<doc ",
        "</doc>\n",
        '<doc id="9" url="u" title="t">\n',
        "&#xD800;",
        "&amp;",
        "\n{}\n",
        "\n[1]\n",
        "=1",
    ),
)
TEXT_SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl", ".doc")
TAR_MODES = {".tar": "w", ".tar.gz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}


# --- Sound content ------------------------------------------------------------------------------------------


def plain_text(rng: Random) -> str:
    """Return lines and paragraphs."""
    return "\n".join(rng.choices(SENTENCES, k=rng.randrange(1, 30)))


def table(rng: Random, delimiter: str) -> str:
    """Return a table of ids, texts and labels; in CSV some texts have quotes and line ends in them."""
    rows = [["id", "text", "label"]]
    for number in range(rng.randrange(2, 20)):
        text = rng.choice(SENTENCES)
        if delimiter == ",":
            text = f'"{text.replace(chr(34), chr(34) * 2)}"' if rng.random() < 0.8 else text.split(",")[0]
        rows.append([str(number), text.replace("\t", " "), rng.choice(["yes", "no", "maybe"])])
    return "".join(delimiter.join(row) + "\n" for row in rows)


def doc_blocks(rng: Random) -> str:
    """Return blocks as WikiExtractor writes them."""
    return "".join(
        f'<doc id="{number}" url="u?a=1&amp;b=2" title="T {number} &quot;x&quot;">\nT {number}\n\n'
        f"{rng.choice(SENTENCES)} (; ) .\n\n</doc>\n"
        for number in range(rng.randrange(1, 9))
    )


def json_lines(rng: Random) -> str:
    """Return documents as WikiExtractor writes them with `--json`."""
    documents = (
        {"id": str(number), "url": "u", "title": "A&amp;B", "text": rng.choice(SENTENCES)}
        for number in range(rng.randrange(1, 9))
    )
    return "".join(json.dumps(document, ensure_ascii=rng.random() < 0.5) + "\n" for document in documents)


def labelled_lines(rng: Random) -> str:
    """Return lines of a number and a text."""
    return "".join(f"{rng.randrange(3)} {rng.choice(SENTENCES)}\n" for _ in range(rng.randrange(2, 20)))


def sound_text(suffix: str, rng: Random) -> str:
    """Return the content that a file of this suffix should have."""
    makers: dict[str, Callable[[], str]] = {
        ".txt": lambda: plain_text(rng),
        ".csv": lambda: table(rng, ","),
        ".tsv": lambda: table(rng, "\t"),
        ".doc": lambda: doc_blocks(rng),
        ".jsonl": lambda: json_lines(rng),
        ".labels": lambda: labelled_lines(rng),
    }
    return makers[suffix]()


# --- Damage to texts ----------------------------------------------------------------------------------------


def strange_tokens(text: str, rng: Random) -> str:
    """Put delimiters, control characters and pieces of other formats into a text."""
    for _ in range(rng.choice([1, 1, 2, 12])):
        text = _inserted(text, rng.choice(TOKENS), rng)
    return text


def huge_field(text: str, rng: Random) -> str:
    """Put a word of 300,000 letters, or as many delimiters, somewhere."""
    return _inserted(text, rng.choice(["w", "字", ",", "\t", " ", "\u0301", "\n", "[", '"']) * 300_000, rng)


def deep_json(text: str, rng: Random) -> str:
    """Add a line of JSON that is 10,000 deep, or else no document."""
    lines = (
        "[" * DEPTH,
        '{"text":' * DEPTH,
        '{"id": "1", "text": ' + "[" * DEPTH + "]" * DEPTH + "}",
        '{"id": 1, "text": ' + "9" * 10_000 + "}",
        '{"id": NaN, "text": null}',
        '{"id": {"a": 1}, "text": ["b"], "title": 7}',
        '{"id": "\\ud800", "title": "\\udfff", "text": "half \\ud83d of a pair"}',
        '{"id": "1", "text": "x"}\x00',
        "{" + ", ".join(f'"{n}": 1' for n in range(5_000)) + "}",
    )
    return _inserted_line(text, rng.choice(lines), rng)


def strange_block(text: str, rng: Random) -> str:
    """Add the beginning of a block with thousands of attributes, or other lines that look like one."""
    lines = (
        '<doc id="1"' + ' title="x"' * 3_000 + ">",
        '<doc id="1"' + ' title="x"' * 3_000,
        '<doc id="1"' + ' a="b"' * 30_000 + ' title="x">',
        '<doc id="1" title="' + '" title="' * 3_000 + ">",
        '<doc id="" title="">',
        '<doc id="a\0b" url="" title="&lt;/doc&gt;&#10;">',
        '<doc id="1" title="x">' * 1_000,
        "<doc " * DEPTH,
        "</doc>",
        '<doc id="1"' + " " * 100_000,
    )
    return _inserted_line(text, rng.choice(lines), rng)


def other_lines(text: str, rng: Random) -> str:
    """Remove, repeat or exchange whole lines; end them otherwise, or not at all."""
    lines = text.split("\n")
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(lines))
        lines[place : place + 1] = rng.choice(
            [[], [lines[place]] * 2, [rng.choice(lines)], lines[place:][:3]]
        )
        lines = lines or [""]
    return rng.choice(["\n", "\n", "\r\n", "\r", "\n\n", ""]).join(lines)


def other_header(text: str, rng: Random) -> str:
    """Give a table another header: columns twice, thousands of them, none of a known name."""
    headers = (
        "text,text,label",
        "text",
        "",
        "ID,Text,Label",
        ",".join(map(str, range(5_000))),
        "text\tlabel",
    )
    header = rng.choice([*headers, '"text', "\ufefftext,label", "id,label,te\0xt", "x" * 100_000])
    return header + "\n" + text.partition("\n")[2]


def more_rows(text: str, rng: Random) -> str:
    """Make a text long: its lines again and again."""
    return text + text.partition("\n")[2][:5_000] * rng.choice([10, 200])


TEXT_CHANGES: Sequence[Callable[[str, Random], str]] = (
    strange_tokens,
    strange_tokens,
    huge_field,
    deep_json,
    strange_block,
    other_lines,
    other_header,
    more_rows,
)


def changed_text(suffix: str, rng: Random, kinds: list[str]) -> bytes:
    """Return the bytes of a file: damaged as a text, as bytes, or in another encoding."""
    text = sound_text(suffix, rng)
    for _ in range(rng.choice([1, 1, 1, 2])):
        change = rng.choice(TEXT_CHANGES)
        text = change(text, rng)
        kinds.append(change.__name__)
    codec = rng.choice(["utf-8"] * 30 + ["utf-8-sig", "utf-16", "latin-1", "utf-32"])
    data = text.encode(codec, "replace")
    if codec != "utf-8":
        kinds.append(codec)
    return damaged(data, rng, kinds) if rng.random() < 0.15 else data


def damaged(data: bytes, rng: Random, kinds: list[str]) -> bytes:
    """Return `data` with some damage to its bytes."""
    damage = rng.choice(DAMAGES)
    kinds.append(damage.__name__)
    return damage(data, rng)


# --- Parquet ------------------------------------------------------------------------------------------------


def columns(rng: Random, count: int) -> dict[str, pa.Array]:
    """Return columns under the usual names, of usual and unusual types."""
    values: list[Any] = [rng.choice([*SENTENCES, None]) for _ in range(count)]
    numbers = [rng.choice([1.0, 2.0, float("nan"), None, 1e300]) for _ in range(count)]
    types: list[Callable[[], pa.Array]] = [
        lambda: pa.array(values, pa.large_string()),
        lambda: pa.array(values, pa.string()).dictionary_encode(),
        lambda: pa.array([None if v is None else v.encode() + b"\xff" for v in values], pa.binary()),
        lambda: pa.array([[v] for v in values], pa.list_(pa.string())),
        lambda: pa.array([{"a": v} for v in values]),
        lambda: pa.nulls(count),
        lambda: pa.array(numbers, pa.float64()),
        lambda: pa.array([n % 2 for n in range(count)], pa.int8()),
        lambda: pa.array([bool(n % 3) for n in range(count)]),
        lambda: pa.array([n * 10**9 for n in range(count)], pa.timestamp("ns")),
        lambda: pa.Array.from_buffers(
            pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]
        ).take(pa.array([0] * count, pa.int32())),
    ]
    usual = {
        "id": pa.array([str(n) for n in range(count)]),
        "text": pa.array(values, pa.string()),
        "label": pa.array([("yes", "no")[n % 2] for n in range(count)]),
    }
    return {name: rng.choice(types)() if rng.random() < 0.2 else column for name, column in usual.items()}


def parquet(rng: Random, kinds: list[str]) -> bytes:
    """Return a Parquet file, most of them damaged."""
    found = columns(rng, rng.choice([0, 1, 5, 40]))
    names = list(found)
    if rng.random() < 0.1:
        names = [rng.choice(["text", "label", "x", ""]) for _ in names]
    made = pa.table(list(found.values()), names=names)
    if rng.random() < 0.2:
        metadata = rng.choice(
            [b"{", b"[]", b'{"index_columns": ["none"], "columns": []}', b"\xff", b"[" * 9_999]
        )
        made = made.replace_schema_metadata({b"pandas": metadata})
        kinds.append("metadata")
    buffer = io.BytesIO()
    pq.write_table(made, buffer, compression=rng.choice(["none", "snappy", "zstd", "gzip"]), row_group_size=9)
    data = buffer.getvalue()
    return damaged(data, rng, kinds) if rng.random() < 0.4 else data


# --- Archives and folders -----------------------------------------------------------------------------------


def member_name(suffix: str, rng: Random) -> str:
    """Return the name of a file in an archive; some look dangerous."""
    usual = f"AA/wiki_{rng.randrange(9):02}{'' if suffix in ('.doc', '.jsonl') else suffix}"
    strange = (
        f"../up{suffix}",
        f"/abs{suffix}",
        f"a\nb{suffix}",
        f"{'d/' * 300}x{suffix}",
        f"\udcff{suffix}",
    )
    return rng.choice([usual] * 12 + list(strange))


def files(suffix: str, rng: Random, kinds: list[str]) -> dict[str, bytes]:
    """Return some files of one form by their names, sound ones and damaged ones."""
    found = {}
    for _ in range(rng.randrange(1, 4)):
        sound = rng.random() < 0.6
        data = sound_text(suffix, rng).encode() if sound else changed_text(suffix, rng, kinds)
        found[member_name(suffix, rng)] = data
    return found


def archive(inner: str, suffix: str, rng: Random, kinds: list[str]) -> bytes:
    """Return a tar archive with files of the suffix `inner`, and with what is no file."""
    buffer = io.BytesIO()
    form = rng.choice([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    options = {"preset": 0} if suffix == ".tar.xz" else {}
    with tarfile.open(fileobj=buffer, mode=TAR_MODES[suffix], format=form, **options) as tar:
        for name, data in files(inner, rng, kinds).items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            if rng.random() < 0.2:
                types = (
                    tarfile.SYMTYPE,
                    tarfile.LNKTYPE,
                    tarfile.DIRTYPE,
                    tarfile.CHRTYPE,
                    tarfile.FIFOTYPE,
                    b"Z",
                )
                member.type, member.linkname = rng.choice(types), rng.choice(["/etc/passwd", "..", name, "x"])
                kinds.append("no file")
            if rng.random() < 0.1 and form == tarfile.PAX_FORMAT:
                member.pax_headers = {
                    "size": rng.choice(["-1", "9" * 30, "x"]),
                    "path": rng.choice(["", "a\0b"]),
                }
                kinds.append("pax")
            tar.addfile(member, io.BytesIO(data))
    data = buffer.getvalue()
    if suffix == ".tar" and rng.random() < 0.5:
        data = (
            insert(data, rng.randbytes(rng.choice([1, 512])), rng)
            if rng.random() < 0.3
            else _other_header(data, rng)
        )
        kinds.append("tar header")
    return damaged(data, rng, kinds) if not kinds or rng.random() < 0.15 else data


def text_mutant(seed: int) -> Mutant:
    """Return the damaged input of a seed; its name tells what it should be."""
    rng = random.Random(f"text {seed}")
    kinds: list[str] = []
    suffix = rng.choice([*TEXT_SUFFIXES, *TEXT_SUFFIXES, ".labels", ".parquet", ".parquet", *TAR_MODES])
    if suffix == ".parquet":
        data = parquet(rng, kinds)
    elif suffix in TAR_MODES:
        inner = rng.choice(TEXT_SUFFIXES)
        data = archive(inner, suffix, rng, kinds)
        suffix = inner + suffix
    else:
        data = changed_text(suffix, rng, kinds)
    return Mutant(f"input{suffix}", data, tuple(kinds))


def _other_header(data: bytes, rng: Random) -> bytes:
    """Change a byte of a header of a tar archive, and put the header's checksum right again."""
    changed = bytearray(data)
    changed[rng.randrange(min(512, len(changed)))] = rng.choice(b"\0 07-9x\xff\x80\n")
    changed[148:156] = b" " * 8
    changed[148:156] = b"%06o\0 " % sum(changed[:512])
    return bytes(changed)


def _inserted(text: str, more: str, rng: Random) -> str:
    place = rng.randrange(len(text) + 1)
    return text[:place] + more + text[place:]


def _inserted_line(text: str, line: str, rng: Random) -> str:
    lines = text.split("\n")
    lines.insert(rng.randrange(len(lines) + 1), line)
    return "\n".join(lines)
