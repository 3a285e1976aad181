"""The base of everything that stands in a record; each part is defined beside what measures it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, ValidationError, model_validator

from ulmfit.pipeline import settings
from ulmfit.pipeline.errors import InputError

Split = Literal["train", "valid", "test"]
MOST_SEEDS = 1_000
"""Of a run: each is a classifier to train."""
LARGEST_COUNT, LARGEST_FIGURE = 2**63, 1e100
Figure = Annotated[float, Field(ge=-LARGEST_FIGURE, le=LARGEST_FIGURE)]
"""A number whose sums and squares are still floats."""


class RecordPart(settings.Settings):
    """A part of a record: frozen, closed to unknown fields, with numbers that can be computed with."""

    @model_validator(mode="after")
    def _counts_are_of_this_world(self) -> Self:
        for name in type(self).model_fields:
            if any(abs(number) > LARGEST_COUNT for number in _whole_numbers(getattr(self, name))):
                raise ValueError(f"{name} holds a whole number above 2**63")
        return self


def _whole_numbers(value: Any) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    elif isinstance(value, (tuple, list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _whole_numbers(item)


Part = TypeVar("Part", bound=RecordPart)


def part_of(model: type[Part], content: Any, what: str) -> Part:
    """Check the content of a file; raises InputError, which begins with `what`, when it is malformed."""
    try:
        return model.model_validate(content)
    except (ValidationError, ArithmeticError) as error:
        raise InputError(f"{what}: {first_fault(error)}") from error


def parts_of(model: type[Part], content: Any, what: str) -> list[Part]:
    """Check the content of a file that holds a list of parts; raises InputError likewise."""
    if not isinstance(content, list):
        raise InputError(f"{what}: expected a list; got {type(content).__name__}")
    return [part_of(model, item, what) for item in content]


def first_fault(error: Exception) -> str:
    """Return the place of an error and what is wrong there, on one line."""
    if isinstance(error, ValidationError):
        return settings.first_fault(error)
    if isinstance(error, KeyError):
        return f"the field {error} is missing"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error).splitlines()[0]
