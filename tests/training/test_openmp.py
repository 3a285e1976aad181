"""What the commands tell OpenMP, before it is loaded with torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ulmfit.training.openmp import wait_briefly, without_brief_waits

ROOT = Path(__file__).parents[2]
COMMAND = """
import os, runpy, sys
from unittest import mock
sys.argv = {arguments}
told = lambda program: print(os.environ.get("GOMP_SPINCOUNT"), "torch" in sys.modules)
with mock.patch("ulmfit.cli.app.guarded", told):
    {start}
"""


@pytest.mark.parametrize("given", [{"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "active"}])
def test_what_the_user_has_set_stays(given: dict[str, str]) -> None:
    environment = dict(given)
    wait_briefly(environment)
    assert environment == given == without_brief_waits(environment)


def test_what_is_measured_waits_as_ever() -> None:
    environment = {"HOME": "/"}
    wait_briefly(environment)
    assert environment == {"HOME": "/", "GOMP_SPINCOUNT": "1000"}
    assert without_brief_waits(environment) == {"HOME": "/"}


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (["ulmfit"], "import ulmfit.cli; ulmfit.cli.main()"),
        (["recipes/toy/sentiment.py"], "runpy.run_path(sys.argv[0], run_name='__main__')"),
    ],
    ids=["ulmfit", "a recipe as a program"],
)
def test_commands_set_the_wait_before_torch_is_imported(arguments: list[str], start: str) -> None:
    hidden = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    program = COMMAND.format(arguments=arguments, start=start)
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended.stdout.split() == ["1000", "False"]
