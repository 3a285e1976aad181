"""The base of every setting: frozen, and closed to unknown fields."""

from __future__ import annotations

from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict

NOT_IN_KEY: Final = "not in key"
"""Marks a field that cannot change a result: `workers: Annotated[int, NOT_IN_KEY] = 2`."""


class Settings(BaseModel):
    """A frozen model that refuses unknown fields; every experiment is made of these."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    def changed(self, **values: Any) -> Self:
        """Return a copy with `values` replaced, validated like a new one."""
        current = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self)(**{**current, **values})
