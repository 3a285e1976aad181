"""The base of every setting: frozen, and closed to unknown fields."""

from __future__ import annotations

import re
import sys
from difflib import get_close_matches
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from ulmfit.pipeline.printing import show

NOT_IN_KEY: Final = "not in key"
"""Marks a field that cannot change a result: `workers: Annotated[int, NOT_IN_KEY] = 2`."""


class Settings(BaseModel):
    """A frozen model that refuses unknown fields, NaN and infinity; every experiment is made of these.

    A field that was renamed has its first name as `serialization_alias`. That name stays in keys, files and
    records, so that no result is lost, and it is still accepted, with a notice.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        protected_namespaces=(),
        allow_inf_nan=False,
        serialize_by_alias=True,
    )

    def changed(self, **values: Any) -> Self:
        """Return a copy with `values` replaced, validated like a new one."""
        current = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self)(**{**current, **self._renamed(values)})

    @classmethod
    def present_name(cls, name: str) -> str:
        """Return the present name of the field `name`; prints a notice where `name` is an old one."""
        for present, field in cls.model_fields.items():
            if field.serialization_alias == name:
                show(f"{name} is now called {present}; the old name still works", sys.stderr)
                return present
        return name

    @model_validator(mode="before")
    @classmethod
    def _take_old_names(cls, values: Any) -> Any:
        return cls._renamed(values) if isinstance(values, dict) else values

    @classmethod
    def _renamed(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Return `values` with the present names of their fields."""
        renamed = {name: cls.present_name(name) for name in values if name not in cls.model_fields}
        if twice := [name for name, present in renamed.items() if present != name and present in values]:
            raise ValueError(f"{twice[0]} is the old name of {renamed[twice[0]]}: give one of them")
        return {renamed.get(name, name): value for name, value in values.items()}


WHOLE, NUMBER, LIST, OBJECT = (
    "a whole number",
    "a number",
    'a list such as ["a", "b"] or [0, 1]',
    'fields such as {{"a": 1}}',
)
EXPECTED: Final = {
    **dict.fromkeys(("int_type", "int_parsing", "int_parsing_size", "int_from_float"), WHOLE),
    **dict.fromkeys(("float_type", "float_parsing"), NUMBER),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("tuple_type", "list_type"), LIST),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type", "mapping_type"), OBJECT),
    **dict.fromkeys(("path_type", "string_type"), "text"),
    "finite_number": "a finite number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "literal_error": "{expected}",
    "string_pattern_mismatch": "text of the form {pattern}",
    "string_too_short": "{min_length} characters or more",
    "too_short": "{min_length} items or more",
    "too_long": "{max_length} items or fewer",
}
"""What pydantic's kinds of errors say was expected."""
UNION_PART: Final = re.compile(r"int|float|str|bool|constrained-\w+|[\w-]+\[.*\]")
"""Parts of an error's place that pydantic adds for a union: the type that was tried, and no field."""
LONGEST_SHOWN: Final = 60
WRITTEN: Final = ("origin", "overrides")
"""Fields that commands write, and nobody else."""


def first_fault(error: ValidationError) -> str:
    """Return the place of the first fault and what is wrong there, on one line."""
    faults = error.errors(include_url=False)
    # A field may take several types. The deepest fault belongs to the type that was meant.
    faults = [fault for fault in faults if fault["loc"][:1] == faults[0]["loc"][:1]]
    furthest = max(faults, key=lambda fault: len(fault["loc"]))
    place = _place(furthest)
    if furthest["type"] == "missing" and (unknown := _unknown_beside(furthest, error)):
        return f"{unknown}: there is no such field, and {furthest['loc'][-1]} is missing"
    faults = [fault for fault in faults if _place(fault) == place]
    wrong = _wrong(faults, error.title)
    return f"{place}: {wrong}" if place else wrong


def _unknown_beside(missing: Any, error: ValidationError) -> str:
    """Return the place of an unknown field beside a missing one, often a misspelling; empty: none."""
    faults = error.errors(include_url=False)
    beside = (fault for fault in faults if fault["loc"][:-1] == missing["loc"][:-1])
    return next((_place(fault) for fault in beside if fault["type"] == "extra_forbidden"), "")


def _place(fault: Any) -> str:
    return ".".join(str(part) for part in fault["loc"] if not UNION_PART.fullmatch(str(part)))


def _listed(fault: Any, model: str) -> str:
    """Return the fields of the settings called `model`, the one that is most alike first; empty: unknown."""
    kinds: list[type[Settings]] = [Settings]
    for kind in kinds:
        kinds += kind.__subclasses__()
        if kind.__name__ == model:
            names = [name for name in kind.model_fields if name not in WRITTEN]
            alike = get_close_matches(str(fault["loc"][0]), names, n=1)
            return f"; did you mean {alike[0]}?" if alike else f"; {model} has {', '.join(names)}"
    return ""


def _wrong(faults: list[Any], model: str) -> str:
    """Return what is wrong at one place, for every kind of value that may stand there."""
    fault = faults[0]
    if fault["type"] == "extra_forbidden":
        return "there is no such field" + (_listed(fault, model) if len(fault["loc"]) == 1 else "")
    if fault["type"] == "missing":
        return "is missing"
    wanted = [EXPECTED[one["type"]].format(**one.get("ctx", {})) for one in faults if one["type"] in EXPECTED]
    if fault["type"] not in EXPECTED:
        return str(fault["msg"]).removeprefix("Value error, ")
    given = repr(fault["input"])
    shown = given if len(given) <= LONGEST_SHOWN else f"{given[:LONGEST_SHOWN]}…"
    return f"expected {' or '.join(dict.fromkeys(wanted))}; got {shown}"
