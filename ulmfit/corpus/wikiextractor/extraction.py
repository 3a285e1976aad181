"""Runs wikiextractor, a separate program, on shards of a page store; one bad page costs only itself."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ulmfit.corpus.cleaning import tidied
from ulmfit.corpus.wikiextractor import supervisor
from ulmfit.corpus.wikiextractor.page_store import MIB, Article, Store, page_element
from ulmfit.corpus.wikiextractor.wikitext import restored_lines
from ulmfit.pipeline.child_processes import safe_environment
from ulmfit.pipeline.errors import StageFailed
from ulmfit.pipeline.files import atomic_path

TEMPLATES = "templates.xml"
LARGEST_LINE = 64 * MIB
SHARED_MEMORY = Path("/dev/shm")
OUT_OF_TIME = "time"
SUSPECTS = 8
"""Articles that are tried alone after a failure: the one at fault, and before it those whose texts were done
but not handed over yet, as wikiextractor passes them on in a thread that an endless page starves."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one wikiextractor process; they do not change the text of a page that stays within them."""

    workers: int = 0
    page_seconds: float = 30.0
    idle_seconds: float = 20.0
    start_seconds: float = 1800.0
    memory_megabytes: int = 2048


@dataclass(frozen=True, slots=True)
class Extracted:
    """The text of one article of a shard; None when its extraction failed."""

    number: int
    text: str | None


def extractor_version() -> str:
    """Return wikiextractor's version; raises StageFailed where it is missing or too old."""
    try:
        version = importlib.metadata.version("wikiextractor")
    except importlib.metadata.PackageNotFoundError as error:
        raise StageFailed("wikiextractor is not installed: pip install 'wikiextractor>=3.1'") from error
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if numbers < (3, 1):
        raise StageFailed(f"wikiextractor {version} is too old: pip install 'wikiextractor>=3.1'")
    return version


class Extraction:
    """Extracts every shard of `store` once, several at a time, and keeps the texts of finished shards.

    With `templates` they are expanded, with `headings` those are kept that have text under them.
    """

    def __init__(
        self,
        store: Store,
        templates: bool,
        limits: Limits,
        log: Callable[[str], None],
        warn: Callable[[str], None],
        headings: bool = True,
    ) -> None:
        self._store = store
        self._templates, self._headings = templates, headings
        self._memory = _SharedMemory()
        self._limits = limits
        self._log, self._warn = log, warn
        self._live: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def run(self) -> None:
        """Extract what is missing; a second call after a kill goes on with the shards that are left."""
        missing = [shard for shard in range(self._store.shards) if not self.texts_path(shard).exists()]
        done = self._store.shards - len(missing)
        if done:
            self._log(f"{done} of {self._store.shards} shards were extracted before")
        with ThreadPoolExecutor(
            max(1, min(self._limits.workers or os.cpu_count() or 1, len(missing)))
        ) as pool:
            try:
                for failed in pool.map(self._extract_shard, missing):
                    done += 1
                    self._log(f"extracted shard {done} of {self._store.shards}")
                    for line in failed:
                        self._warn(line)
            finally:
                self._stop()
                pool.shutdown(wait=True, cancel_futures=True)

    def texts_path(self, shard: int) -> Path:
        """The finished texts of a shard: one JSON line [number, text or null] per article."""
        return self._store.folder / f"texts-{shard:05}.jsonl"

    def texts(self, shard: int) -> Iterator[Extracted]:
        """Yield the texts of a finished shard in the order of the dump."""
        with self.texts_path(shard).open(encoding="utf-8") as lines:
            for line in lines:
                yield Extracted(*json.loads(line))

    def _extract_shard(self, shard: int) -> list[str]:
        """Extract one shard; return a line for each article at which wikiextractor failed."""
        articles = [article for article in self._store.index(shard) if self._store.sampled(article)]
        folder = self._store.folder / f"run-{shard:05}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        size = 0
        if self._templates and articles:
            size = self._store.write_templates(shard, articles, folder / TEMPLATES)
        with self._memory.reserved(size):
            texts, failed = self._extract_articles(shard, articles, folder)
        self._write_texts(shard, articles, texts)
        shutil.rmtree(folder)
        self._store.forget_pages(shard)
        return failed

    def _extract_articles(
        self, shard: int, articles: Sequence[Article], folder: Path
    ) -> tuple[dict[int, str], list[str]]:
        """Return the texts by the articles' numbers, and a line for each article that has none."""
        texts: dict[int, str] = {}
        failed: list[str] = []
        todo = articles
        alone = 0  # how many of the next articles are run one by one, to find the one at fault
        while todo:
            batch = todo[:1] if alone else todo
            verdict, found = self._run(shard, batch, folder)
            texts |= found
            todo = [article for article in todo if article.number not in texts]
            if len(found) == len(batch):
                alone = max(0, alone - 1)
            elif not alone:
                alone = SUSPECTS
            else:
                if verdict != OUT_OF_TIME:
                    self._check_environment(shard, folder, verdict)
                failed.append(f"extraction failed for page {todo[0].id} ({todo[0].title!r}): {verdict}")
                todo = todo[1:]
                alone = 0
        return texts, failed

    def _write_texts(self, shard: int, articles: Sequence[Article], texts: dict[int, str]) -> None:
        with atomic_path(self.texts_path(shard)) as path, path.open("w", encoding="utf-8") as lines:
            for article in articles:
                text = texts.get(article.number)
                lines.write(json.dumps([article.number, text], ensure_ascii=False) + "\n")

    def _run(self, shard: int, batch: Sequence[Article], folder: Path) -> tuple[str, dict[int, str]]:
        """Run wikiextractor on some articles of a shard; return the verdict and the texts that arrived."""
        export = folder / "pages.xml"
        self._store.write_export(shard, batch, export)
        verdict = self._supervise(export, folder)
        wanted = {article.number for article in batch}
        return verdict, {
            number: cleaned(text, self._headings)
            for number, text in _output(folder / "output.jsonl")
            if number in wanted
        }

    def _check_environment(self, shard: int, folder: Path, verdict: str) -> None:
        """Raise StageFailed when wikiextractor cannot even extract a page of one word."""
        export = folder / "probe.xml"
        self._store.write_export(shard, [], export, extra=page_element("Probe", 0, "0", "probe"))
        self._supervise(export, folder)
        if dict(_output(folder / "output.jsonl")) != {0: "probe"}:
            errors = folder / "errors.txt"
            lines = errors.read_text(errors="replace").strip().splitlines() if errors.exists() else []
            raise StageFailed(
                f"wikiextractor does not work here ({verdict}): {lines[-1] if lines else 'it says nothing'}"
            )

    def _supervise(self, export: Path, folder: Path) -> str:
        """Run wikiextractor on `export` under the supervisor; return its verdict.

        The supervisor works in `folder`, so every path that it is given is absolute.
        """
        export, folder = export.resolve(), folder.resolve()
        templates = folder / TEMPLATES
        options = ["--templates", str(templates)] if templates.exists() else ["--no-templates"]
        # One worker, so that the texts come in the order of the pages; -u writes each as soon as it is done.
        # The empty --html-safe keeps `&` from becoming `&amp;`.
        command = [
            sys.executable,
            "-P",
            "-u",
            "-m",
            "wikiextractor.WikiExtractor",
            str(export),
            "--output",
            "-",
        ]
        command += ["--json", "--html-safe=", "--processes", "1", *options]
        limits = self._limits
        template_bytes = templates.stat().st_size if templates.exists() else 0
        spec = {
            "command": command,
            "folder": str(folder),
            "output": str(folder / "output.jsonl"),
            "errors": str(folder / "errors.txt"),
            "memory_bytes": limits.memory_megabytes * MIB + 4 * template_bytes,
            "page_seconds": limits.page_seconds,
            "idle_seconds": limits.idle_seconds,
            "start_seconds": limits.start_seconds,
        }
        return self._watched([sys.executable, "-I", str(Path(supervisor.__file__)), json.dumps(spec)])

    def _watched(self, command: list[str]) -> str:
        """Run the supervisor, which ends with its standard input; return the last line that it prints."""
        with self._lock:
            if self._stopped:
                raise StageFailed("the extraction was stopped")
            environment = {**safe_environment(), "PYTHONHASHSEED": "0"}
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
                env=environment,
            )
            self._live.add(process)
        assert process.stdin and process.stdout
        group, verdict = "", ""
        try:
            group = process.stdout.readline().decode().strip()
            verdict = process.stdout.read().decode().strip()
        finally:
            with self._lock:
                self._live.discard(process)
                process.stdin.close()
            process.stdout.close()
            process.wait()
            if group:  # the supervisor has done this, unless it was killed itself
                supervisor.end_group(int(group), reap=False)
        if self._stopped:
            raise StageFailed("the extraction was stopped")
        return verdict or "the supervisor died"

    def _stop(self) -> None:
        with self._lock:
            self._stopped = True
            for process in self._live:
                if process.stdin:
                    process.stdin.close()


class _SharedMemory:
    """Where wikiextractor keeps its templates: handed out to no more at a time than fit."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._size = shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.is_dir() else None
        self._free = self._size or 0

    @contextlib.contextmanager
    def reserved(self, template_bytes: int) -> Iterator[None]:
        """Wait until there is room for templates; raises StageFailed where there never is."""
        if self._size is None:
            yield
            return
        need = int(1.2 * template_bytes) + MIB
        if need > self._size:
            raise StageFailed(
                f"the templates need {-(-need // MIB)} MiB of {SHARED_MEMORY}, which has "
                f"{self._size // MIB}: enlarge it (docker: --shm-size) or set templates=False"
            )
        with self._changed:
            self._changed.wait_for(lambda: need <= self._free)
            self._free -= need
        try:
            yield
        finally:
            with self._changed:
                self._free += need
                self._changed.notify_all()


def _output(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of the complete lines; what is longer than any page is passed over."""
    if not path.exists():
        return
    with path.open("rb") as lines:
        while line := lines.readline(LARGEST_LINE):
            if not line.endswith(b"\n"):
                while (rest := lines.readline(LARGEST_LINE)) and not rest.endswith(b"\n"):
                    pass
                continue
            try:
                content = json.loads(line)
                yield int(content["id"]), str(content["text"])
            except (ValueError, KeyError, TypeError):
                continue


def cleaned(text: str, headings: bool) -> str:
    """Return a text of wikiextractor as it goes into the corpus."""
    return tidied(restored_lines(text, headings))
