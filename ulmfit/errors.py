"""The errors that the command line turns into one line and an exit status."""


class InputError(Exception):
    """The user's input is wrong (exit status 2).

    The message is one line: what is wrong, where, what was expected, what to do.
    """


class StageFailed(Exception):
    """A stage could not be finished for a reason that is not the user's input (exit status 1)."""
