"""The public names are a promise: a change to them is a change to public_api.txt, made on purpose."""

from __future__ import annotations

import importlib
from pathlib import Path

PACKAGES = ("risk", "oracle_adapters", "reports")
PINNED = Path(__file__).with_name("public_api.txt")


def exported() -> list[str]:
    """Dotted names of all exports, sorted."""
    return sorted(f"{package}.{name}" for package in PACKAGES for name in importlib.import_module(package).__all__)


def test_public_api_is_pinned() -> None:
    pinned = [line for line in PINNED.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert exported() == pinned


def test_every_export_exists() -> None:
    missing = []
    for dotted in exported():
        package, name = dotted.split(".", 1)
        if not hasattr(importlib.import_module(package), name):
            missing.append(dotted)
    assert not missing


def test_exports_are_documented() -> None:
    bare = []
    for dotted in exported():
        package, name = dotted.split(".", 1)
        value = getattr(importlib.import_module(package), name)
        if callable(value) and not (value.__doc__ or "").strip():
            bare.append(dotted)
    assert not bare
