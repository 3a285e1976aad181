"""The command line: a file per group of commands; what they share in options.py and errors.py."""

from ulmfit.cli.app import main

__all__ = ["main"]
