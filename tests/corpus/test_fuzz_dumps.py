"""Whatever is in a dump: documents with an account that closes, or a refusal of one line."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from corpus.dump_mutants import dump_mutant
from corpus.fuzzing import outcomes, refusal, summary
from corpus.making import account, rows
from ulmfit.corpus.cleaning import normalise
from ulmfit.corpus.extract import extract
from ulmfit.corpus.fast import extraction as fast_extraction
from ulmfit.corpus.fast.worker import Job, _done
from ulmfit.corpus.wikiextractor.extraction import Limits
from ulmfit.pipeline.errors import InputError

PAGE_SECONDS = 20.0
PROCESSES_EVERY = 20
"""So many cases go through worker processes; the others have their worker in the process of the test."""


class PoolInThisProcess:
    """Stands in for worker processes, which take longer to start than to do what a case asks for."""

    size = 1

    def __init__(self, size: int, page_seconds: float, memory_megabytes: int) -> None:
        self._page_seconds = page_seconds

    def __enter__(self) -> PoolInThisProcess:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing."""

    def submit(self, job: Job, place: str) -> Future[list[str]]:
        """Have a job done here and now."""
        done: Future[list[str]] = Future()
        done.set_result(_done(Job.of_line(job.as_line()), self._page_seconds))
        return done


def quiet(_: str) -> None:
    """Log nothing."""


def extracted(dump: Path, out: Path, engine: str, limits: Limits) -> str:
    """Extract a dump, check what there is in the end, and say what that is."""
    try:
        extract(dump, out, engine=engine, log=quiet, limits=limits)
    except InputError as error:
        assert not out.exists()
        return refusal(error)
    content = account(out)
    assert sorted(path.name for path in out.iterdir()) == ["account.json", "documents.parquet"]
    found = rows(out)
    assert found and len({row["id"] for row in found}) == len(found)
    for row in found:
        assert row["text"] and row["text"] == normalise(row["text"])
    return "documents" + "".join(
        f", {name}" for name in ("damaged page", "extraction failed") if name in content["left_out"]
    )


def fast_case(seed: int, folder: Path) -> str:
    """Extract the mutant of `seed` with our own engine."""
    mutant = dump_mutant(seed)
    dump = folder / mutant.name
    dump.write_bytes(mutant.data)
    limits = Limits(workers=1, page_seconds=PAGE_SECONDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast_extraction, "WorkerPool", PoolInThisProcess)
        said = extracted(dump, folder / "out", "fast", limits)
    if seed % PROCESSES_EVERY == 0:
        assert extracted(dump, folder / "again", "fast", limits) == said
    return said


def wikiextractor_case(seed: int, folder: Path) -> str:
    """Extract the mutant of `seed` with wikiextractor."""
    mutant = dump_mutant(seed)
    dump = folder / mutant.name
    dump.write_bytes(mutant.data)
    return extracted(dump, folder / "out", "wikiextractor", Limits(workers=1, page_seconds=2, idle_seconds=4))


CASES = f"corpus.{Path(__file__).stem}"


def check_fast(count: int) -> str:
    """Run mutants through our own engine; return what became of them."""
    found = outcomes(f"{CASES}:fast_case", 0, count - 1)
    documents = [outcome for outcome in found if outcome.said.startswith("documents")]
    assert len(documents) > 0.6 * count, "most mutants are to get past the first check"
    assert not [outcome.seed for outcome in found if "extraction failed" in outcome.said]
    return f"{count:,} mutated dumps, our own engine:\n{summary(found)}"


def check_wikiextractor(count: int) -> str:
    """Run mutants through wikiextractor; return what became of them."""
    found = outcomes(f"{CASES}:wikiextractor_case", 0, count - 1)
    assert sum(outcome.said.startswith("documents") for outcome in found) > 0.5 * count
    return f"{count:,} mutated dumps, wikiextractor:\n{summary(found)}"


def test_mutated_dumps() -> None:
    check_fast(200)


def test_mutated_dumps_with_wikiextractor() -> None:
    check_wikiextractor(8)


@pytest.mark.soak
@pytest.mark.parametrize(("check", "count"), [(check_fast, 2000), (check_wikiextractor, 100)])
def test_many_mutated_dumps(
    check: Callable[[int], str], count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    said = check(count)
    with capsys.disabled():
        print(f"\n{said}")
