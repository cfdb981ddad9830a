"""Parameter files: a parameter set in TOML, one number a line."""

from __future__ import annotations

from pathlib import Path

from risk.errors import InputError
from risk.parameters import ParameterSet

LARGEST = 4 * 2**20
"""Bytes; a set of a thousand assets takes a twentieth of it."""


def read_parameters(file: Path) -> ParameterSet:
    """Read a parameter file; messages and findings name it as it is given here.

    Raises
    ------
    InputError
        When it cannot be read, is too large, is no TOML in UTF-8 or holds an unknown key.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=str(file), remedy="Check the path") from None
    if len(data) > LARGEST:
        raise InputError(f"larger than {LARGEST:,} bytes", file=str(file), remedy="Give a parameter file")
    try:
        return ParameterSet.from_toml(data.decode("utf-8-sig"), file=str(file))
    except UnicodeDecodeError:
        raise InputError("not a text file in UTF-8", file=str(file), remedy="Give a parameter file") from None
