"""A typed door to numba: one compilation policy for every kernel of the project."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., object])

# No `nnan` and no `ninf`: an overflowing trial step must still be seen as such.
_FAST = {"reassoc", "contract", "arcp", "nsz"}


def compiled(function: _Function) -> _Function:
    """Compile `function` once per signature, cache it on disk and release the interpreter lock.

    numba's cache looks at the file of the function alone, and would keep on serving machine code into which a
    compiled function of another file, changed since, was inlined. Here it looks at all files of the folder.
    """
    dispatcher: Any = numba.njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")(function)
    dispatcher._cache._cache_file._source_stamp = _stamp(Path(function.__code__.co_filename).parent)  # noqa: SLF001
    return cast(_Function, dispatcher)


@cache
def _stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Name, time of change and size of each module of a folder, and of this policy."""
    stats = [(path.name, path.stat()) for path in (*sorted(folder.glob("*.py")), Path(__file__))]
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)
