"""A typed door to numba: one compilation policy for every kernel of the project."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., object])

# No `nnan` and no `ninf`: an overflowing trial step must still be seen as such.
_FAST = {"reassoc", "contract", "arcp", "nsz"}


def compiled(function: _Function) -> _Function:
    """Compile `function` once per signature, cache it on disk and release the interpreter lock."""
    return cast(_Function, numba.njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")(function))
