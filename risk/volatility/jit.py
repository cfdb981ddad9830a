"""A typed door to numba: one compilation policy for every kernel of the project."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any, TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., object])


def compiled(function: _Function) -> _Function:
    """Compile `function` once per signature, cache it on disk and release the interpreter lock.

    Arithmetic is strict. Under fast-math flags the same source gives other last bits when it is compiled in
    another order, so that a first run and a run from the cache disagreed; they bought no measurable speed.

    numba's cache looks at the file of the function alone, and would keep on serving machine code into which a
    compiled function of another file, changed since, was inlined. Here it looks at every module of the package.
    """
    dispatcher: Any = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    dispatcher._cache._cache_file._source_stamp = _stamp(function.__module__.rpartition(".")[0])  # noqa: SLF001
    return cast(_Function, dispatcher)


@cache
def _stamp(package: str) -> str:
    """Hash of the source of all modules of a package and of this policy."""
    digest = hashlib.sha256()
    for name in sorted({package, "risk.volatility"}):
        modules = [entry for entry in resources.files(name).iterdir() if entry.name.endswith(".py")]
        for entry in sorted(modules, key=lambda module: module.name):
            digest.update(entry.read_bytes())
    return digest.hexdigest()
