"""The base of everything that stands in a record."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from pydantic import ConfigDict, ValidationError

from ulmfit import settings
from ulmfit.errors import InputError

Split = Literal["train", "valid", "test"]


class RecordPart(settings.Settings):
    """A part of a record: frozen, closed to unknown fields, and free of NaN and infinity."""

    model_config = ConfigDict(allow_inf_nan=False)


Part = TypeVar("Part", bound=RecordPart)


def part_of(model: type[Part], content: Any, what: str) -> Part:
    """Check the content of a file; raises InputError, which begins with `what`, when it is malformed."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{what}: {first_fault(error)}") from error


def first_fault(error: Exception) -> str:
    """Return the place of an error and what is wrong there, on one line."""
    if isinstance(error, ValidationError):
        return settings.first_fault(error)
    if isinstance(error, KeyError):
        return f"the field {error} is missing"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error).splitlines()[0]
