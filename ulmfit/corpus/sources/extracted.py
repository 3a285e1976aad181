"""Output of WikiExtractor -> documents: `<doc id url title>` blocks or JSON lines, in a folder or archive."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ulmfit.corpus.cleaning import normalise, unescape_once, without_empty_brackets, without_title
from ulmfit.corpus.documents import Account, Document
from ulmfit.corpus.sources.archives import open_files
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.streams import decoded_lines, unpacked

EMPTY, UNCLOSED = "empty after extraction", "block not closed"
_DOC = re.compile(r'<doc\s+id="([^"]*)"(?:\s+(?!title=)\w+="[^"]*")*+\s+title="')
_END_REVERSED = re.compile(r'\s*>\s*(?:"[^"]*"=\w+\s+)*"')
"""What follows a title, read from the end of the line: a title may hold quotes of its own."""
_IGNORED_SUFFIXES = (".zip", ".png", ".parquet")


def extracted_documents(path: Path, account: Account) -> Iterator[Document]:
    """Yield the documents of `path` and account for the rest; raises InputError for another format."""
    for name, file in open_files(path, _is_wanted):
        for identifier, title, text in _blocks(unpacked(file, name), name, account):
            account.pages_read += 1
            identifier, title = normalise(identifier), normalise(title)
            cleaned = _cleaned(text, title)
            if cleaned:
                yield Document(identifier, title, cleaned)
            else:
                account.leave_out(EMPTY, identifier)
    if not account.pages_read:
        raise InputError(
            f"{path.name} holds no <doc id=... title=...> block and no JSON line of WikiExtractor"
        )


def _is_wanted(name: str) -> bool:
    last = name.rpartition("/")[2]
    return not last.startswith(".") and not last.endswith(_IGNORED_SUFFIXES)


def _cleaned(text: str, title: str) -> str:
    """Return the text without its title line, its references resolved once."""
    text = normalise(unescape_once(text))
    return normalise(without_empty_brackets(without_title(text, title)))


def _blocks(stream: IO[bytes], name: str, account: Account) -> Iterator[tuple[str, str, str]]:
    """Yield id, title and raw text of each document in one file."""
    identifier, title = "", ""
    lines: list[str] | None = None
    for number, line in enumerate(decoded_lines(stream, name), start=1):
        start = _start(line) if line.startswith("<doc ") else None
        if start:
            if lines is not None:
                _unclosed(account, identifier)
            identifier, title = start
            lines = []
        elif lines is None:
            if line.startswith("{"):
                yield _json_document(line, name, number)
        elif line.rstrip() == "</doc>":
            yield identifier, title, "".join(lines)
            lines = None
        else:
            lines.append(line)
    if lines is not None:
        _unclosed(account, identifier)


def _start(line: str) -> tuple[str, str] | None:
    """Return id and title in the first line of a block, or None; takes time linear in its length."""
    start = _DOC.match(line)
    rest = line[start.end() :] if start else ""
    end = _END_REVERSED.match(rest[::-1])
    return (start.group(1), unescape_once(rest[: -end.end()])) if start and end else None


def _unclosed(account: Account, identifier: str) -> None:
    account.pages_read += 1
    account.leave_out(UNCLOSED, identifier)


def _json_document(line: str, name: str, number: int) -> tuple[str, str, str]:
    try:
        content = json.loads(line)
        return str(content["id"]), unescape_once(str(content.get("title", ""))), str(content["text"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{name} line {number} is no JSON document of WikiExtractor "
            f'({type(error).__name__}: {error}); expected {{"id": ..., "title": ..., "text": ...}}'
        ) from error
