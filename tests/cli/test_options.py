"""The options that change a recipe are declared once, and each command has those that it can use."""

from __future__ import annotations

import typer.main

from ulmfit.cli.app import COMMANDS, app

EVERY = {"preset", "overrides", "seeds", "train_sizes", "label_noise"}


def test_each_command_has_the_options_that_it_can_use() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert list(commands) == list(COMMANDS)
    found = {name: EVERY & {one.name for one in command.params} for name, command in commands.items()}
    expected = {name: EVERY for name in ("run", "plan", "status", "report")} | {
        "explain": {"preset", "overrides", "seeds"},
        "bundle": {"preset", "overrides", "seeds"},
        "find-rate": {"preset", "overrides"},
    }
    assert {name: options for name, options in found.items() if options} == expected
    assert not [name for name, command in commands.items() for one in command.params if one.name == "changes"]


def test_every_command_says_what_it_does() -> None:
    assert not [name for name, command in COMMANDS.items() if not (command.__doc__ or "").endswith(".")]
