"""kill -9 while documents are encoded: nothing half-written passes for whole, the next run ends the same."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from stages_for_tests import invented_text

from ulmfit.corpus.stages import TextFiles
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.runner import Runner
from ulmfit.tokens.stages import EncodeTokens, TrainTokenizer

TESTS = Path(__file__).parents[1]
PROGRAM = """
import os, signal, sys
from pathlib import Path
from tokens.test_kill_encoding import encoding
from ulmfit.pipeline import files
from ulmfit.pipeline.runner import Runner
from ulmfit.tokens import arrays, encode

runs, texts, workers, last = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
steps = 0

def counted(action):
    def step(*arguments):
        global steps
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return action(*arguments)
    return step

encode.BATCH_BYTES = 20_000
stage, runner = encoding(texts, workers), Runner(runs)
for upstream in stage.upstream():
    runner.build(upstream)
arrays._GrowingArray.append = counted(arrays._GrowingArray.append)
files.flush = counted(files.flush)
Path.replace = counted(Path.replace)
runner.build(stage)
print(steps)
"""
"""Counts what it writes, flushes and renames, and ends by SIGKILL before step `last`."""
LAST_STEPS = 20
"""Among them are all renames of finished files, and the manifest."""


def encoding(texts: Path, workers: int) -> EncodeTokens:
    """Return a stage that encodes the lines of a file."""
    corpus = TextFiles(files=File(path=texts), document="line", valid_fraction=0.1, test_fraction=0.1)
    tokenizer = TrainTokenizer(corpus=corpus, language="qaa", vocab_size=80)
    return EncodeTokens(documents=corpus, tokenizer=tokenizer, workers=workers)


class Killing:
    """A run that nobody ends, and others that go on from where SIGKILL has ended them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._texts = folder / "texts.txt"
        lines = (invented_text(number, 20 + number % 90) for number in range(2_000))
        self._texts.write_text("\n".join(lines))
        done = self._run(folder / "undisturbed", workers=1)
        assert done.returncode == 0, done.stderr
        self.steps = int(done.stdout.split()[-1])
        self._files = self._contents(folder / "undisturbed")
        assert len(self._files) == 8 and sum(map(len, self._files.values())) > 500_000

    def check(self, step: int) -> None:
        """Kill a run before a step; then finish it with another number of workers."""
        runs = self._folder / f"killed-{step}"
        shutil.copytree(self._folder / "undisturbed", runs)
        shutil.rmtree(self._stage_folder(runs))
        killed = self._run(runs, workers=1 + step % 3, last=step)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        stage = encoding(self._texts, 0)
        assert not Runner(runs).is_done(stage)
        for name, content in self._contents(runs).items():
            assert content == self._files[name], f"{name} is not whole after a kill before step {step}"
        done = self._run(runs, workers=1 + (step + 1) % 3)
        assert done.returncode == 0, done.stderr
        assert Runner(runs).is_done(stage)
        assert self._contents(runs) == self._files, f"other bytes after a kill before step {step}"
        assert not list(self._stage_folder(runs).glob(".*"))
        shutil.rmtree(runs)

    def _run(self, runs: Path, workers: int, last: int = 0) -> subprocess.CompletedProcess[str]:
        arguments = map(str, (runs, self._texts, workers, last))
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, *arguments], cwd=TESTS, capture_output=True, text=True
        )

    def _stage_folder(self, runs: Path) -> Path:
        return Runner(runs).folder(encoding(self._texts, 0))

    def _contents(self, runs: Path) -> dict[str, bytes]:
        folder = self._stage_folder(runs)
        names = [path.name for path in folder.glob("*.npy")] + ["counts.json", "config.json"]
        return {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}


@pytest.fixture(scope="module")
def killing(tmp_path_factory: pytest.TempPathFactory) -> Killing:
    return Killing(tmp_path_factory.mktemp("killing"))


def test_killed_at_two_moments(killing: Killing) -> None:
    chance = random.Random(1)
    killing.check(chance.randrange(2, killing.steps - LAST_STEPS))
    killing.check(chance.randrange(killing.steps - LAST_STEPS, killing.steps))


@pytest.mark.soak
def test_killed_at_ten_moments(killing: Killing) -> None:
    for step in random.Random(2).sample(range(1, killing.steps + 1), 10):
        killing.check(step)


@pytest.mark.soak
def test_killed_before_each_of_the_last_steps(killing: Killing) -> None:
    for step in range(killing.steps - LAST_STEPS, killing.steps + 1):
        killing.check(step)
