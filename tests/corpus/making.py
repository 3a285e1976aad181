"""Makes small MediaWiki exports for the tests of this folder."""

from __future__ import annotations

import bz2
import json
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pyarrow.parquet as pq


def page(
    title: str,
    text: str,
    *,
    number: int,
    namespace: int = 0,
    redirect: str | None = None,
    timestamp: str = "2017-07-01T12:34:56Z",
) -> str:
    """Return a `<page>` element."""
    target = f'<redirect title="{escape(redirect)}" />' if redirect else ""
    return (
        f"<page><title>{escape(title)}</title><ns>{namespace}</ns><id>{number}</id>{target}"
        f"<revision><id>{1000 + number}</id><timestamp>{timestamp}</timestamp><model>wikitext</model>"
        f'<text xml:space="preserve">{escape(text)}</text></revision></page>\n'
    )


def export(*pages: str, template_name: str | None = "Template", dbname: str = "xxwiki") -> str:
    """Return an export; without `template_name` its siteinfo does not name the template namespace."""
    template = f'<namespace key="10" case="first-letter">{template_name}</namespace>' if template_name else ""
    return (
        '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/" version="0.10" xml:lang="xx">\n'
        f"<siteinfo><dbname>{dbname}</dbname><base>https://xx.wikipedia.org/wiki/Main</base><namespaces>"
        f'<namespace key="0" case="first-letter" /><namespace key="1">Talk</namespace>{template}'
        f"</namespaces></siteinfo>\n{''.join(pages)}</mediawiki>\n"
    )


def write_dump(path: Path, *pages: str, **head: Any) -> Path:
    """Write an export, compressed when the name ends in .bz2."""
    data = export(*pages, **head).encode("utf-8")
    path.write_bytes(bz2.compress(data) if path.suffix == ".bz2" else data)
    return path


def rows(folder: Path) -> list[dict[str, str]]:
    """Return the documents in `folder`."""
    return pq.read_table(folder / "documents.parquet").to_pylist()


def texts(folder: Path) -> dict[str, str]:
    """Return the texts in `folder` by id."""
    return {row["id"]: row["text"] for row in rows(folder)}


def account(folder: Path) -> dict:
    """Return the account in `folder`, after checking that it closes."""
    content = json.loads((folder / "account.json").read_text(encoding="utf-8"))
    left = sum(entry["count"] for entry in content["left_out"].values())
    assert content["pages_read"] == content["documents_written"] + left
    assert content["documents_written"] == len(rows(folder))
    for entry in content["left_out"].values():
        assert len(entry["pages"]) == min(1000, entry["count"])
    return content


def left_out(folder: Path) -> dict[str, int]:
    """Return the counts of the account in `folder`."""
    return {reason: entry["count"] for reason, entry in account(folder)["left_out"].items()}
