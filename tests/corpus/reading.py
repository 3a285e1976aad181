"""Reading of exports that a test wrote."""

from __future__ import annotations

from pathlib import Path

from ulmfit.corpus.dumps.reader import DamagedPage, DumpReader, Page


def written(path: Path, content: str | bytes) -> Path:
    """Write an export as it stands."""
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path


def pages_of(path: Path, threads: int = 2) -> list[Page | DamagedPage]:
    """Read all pages."""
    return list(DumpReader(path, threads))


def titles(found: list[Page | DamagedPage]) -> list[str]:
    """Return the titles of sound pages, and those of damaged ones in brackets."""
    return [f"[{item.title}]" if isinstance(item, DamagedPage) else item.title for item in found]
