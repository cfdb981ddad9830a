"""The locks pin everything with hashes, name no place to fetch from, and satisfy the project's own demands."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock")
PIN = re.compile(r"^(?P<name>[a-z0-9][a-z0-9.-]*)==(?P<version>[^ ;]+)(?P<hashes>(?: --hash=sha256:[0-9a-f]{64})+)$")


def entries(lock: str) -> list[str]:
    """Logical lines of a lock: continued lines joined, comments left out."""
    joined = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = (" ".join(line.split()) for line in joined.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def pins(lock: str) -> dict[str, Version]:
    """Pinned version of every package of a lock."""
    matches = [PIN.match(line) for line in entries(lock)]
    return {canonicalize_name(match["name"]): Version(match["version"]) for match in matches if match}


def project() -> dict[str, Any]:
    """The parsed pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def demands(lock: str) -> Iterator[Requirement]:
    """What pyproject.toml asks of a lock: the build backend and the dependencies, for tests also the extras."""
    settings = project()
    extras = settings["project"]["optional-dependencies"]
    wanted = [*settings["build-system"]["requires"], *settings["project"]["dependencies"]]
    if lock == "requirements-dev.lock":
        wanted += [line for line in (*extras["test"], *extras["dev"]) if not line.startswith("riskcal[")]
    return map(Requirement, wanted)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_entry_is_a_pin_with_hashes(lock: str) -> None:
    loose = [line[:80] for line in entries(lock) if not PIN.match(line)]
    assert entries(lock)
    assert not loose, f"not pinned with sha256 hashes: {loose}"


@pytest.mark.parametrize("lock", LOCKS)
def test_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert not re.search(r"://|--(extra-)?index-url|--find-links|--trusted-host|^-e|^\s*#.*@ ", text, re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS)
def test_pins_satisfy_the_project(lock: str) -> None:
    locked = pins(lock)
    broken = [
        f"{demand} against {locked.get(canonicalize_name(demand.name), 'nothing')}"
        for demand in demands(lock)
        if not (version := locked.get(canonicalize_name(demand.name)))
        or not demand.specifier.contains(version, prereleases=True)
    ]
    assert not broken, f"run `make lock`: {broken}"


def test_both_locks_agree() -> None:
    running, development = pins(LOCKS[0]), pins(LOCKS[1])
    assert {name: development.get(name) for name in running} == running


def test_every_import_is_declared() -> None:
    """A package that is imported is a dependency of the project's own, not of one that happens to bring it."""
    settings = project()["project"]
    declared = [*settings["dependencies"], *settings["optional-dependencies"]["cluster"]]
    known = {canonicalize_name(Requirement(line).name).replace("-", "_") for line in declared}
    known |= {"risk", "oracle_adapters", "reports", *sys.stdlib_module_names}
    undeclared = {
        f"{path.relative_to(ROOT)}: {name}"
        for package in ("risk", "oracle_adapters", "reports")
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for full in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        if (name := full.partition(".")[0]) not in known
    }
    assert not undeclared, sorted(undeclared)
