"""The list of commands. A new command is a function in a file of this folder, and one line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import typer

from ulmfit.cli import (
    bench,
    compare,
    doctor,
    export,
    models,
    new,
    planning,
    records,
    runs,
    serving,
    single_steps,
)
from ulmfit.cli.errors import guarded
from ulmfit.pipeline.child_processes import import_safely
from ulmfit.training.openmp import wait_briefly

COMMANDS: dict[str, Callable[..., None]] = {
    "run": runs.run,
    "plan": planning.plan,
    "status": planning.status,
    "runs": runs.runs_,
    "new": new.new,
    "report": records.report,
    "explain": records.explain,
    "bundle": models.bundle,
    "predict": models.predict,
    "evaluate": models.evaluate,
    "export": export.export,
    "serve": serving.serve,
    "push": serving.push,
    "pull": serving.pull,
    "clean": runs.clean,
    "leaderboard": records.leaderboard,
    "compare": compare.compare,
    "verify": records.verify,
    "pages": records.pages,
    "extract": single_steps.extract,
    "find-rate": single_steps.find_rate,
    "import": single_steps.import_,
    "bench": bench.bench,
    "doctor": doctor.doctor,
}
"""Name -> function, in the order of `ulmfit --help`."""

app = typer.Typer(
    help="ULMFiT for morphologically rich languages: from a Wikipedia dump to a results table.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for name, command in COMMANDS.items():
    app.command(name)(command)


def main() -> NoReturn:
    """Run the command line."""
    wait_briefly()
    import_safely()
    guarded(app)
