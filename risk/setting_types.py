"""Types that settings are made of: frozen models, and values that are written with their unit."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from risk.units import Dimension, parse_quantity


def unit_reader(dimension: Dimension) -> BeforeValidator:
    """Validator that reads a string with its unit, and refuses a bare number."""

    def read(value: object) -> object:
        if not isinstance(value, str):
            if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
                raise ValueError("write the value with its unit, as a string; this one has none")
            return value
        return parse_quantity(value, dimension).value  # a UnitError is a ValueError

    return BeforeValidator(read)


Fraction = Annotated[float, unit_reader(Dimension.RATIO), Field(ge=0, lt=1)]
"""A ratio from 0 (included) to 100 % (excluded), as a float fraction."""
Dollars = Annotated[float, unit_reader(Dimension.USD), Field(ge=0)]
"""An amount in US dollars."""
Duration = Annotated[int, unit_reader(Dimension.SECONDS), Field(gt=0)]
"""Seconds, above zero."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$", max_length=64)]
Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]


class Model(BaseModel):
    """Frozen, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
