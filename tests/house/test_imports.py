"""Imports point one way: the layer table of the design, held over every module, imports inside functions included."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

PACKAGES = ("risk", "oracle_adapters", "reports")
ROOT = Path(__file__).resolve().parents[2]

SUBPACKAGES = {
    "risk.seizure": 0,
    "risk.validation": 1,
    "risk.volatility": 1,
    "risk.tails": 2,
    "risk.dependence": 2,
    "risk.surface": 2,
    "risk.policy": 3,
    "risk.stress": 3,
    "risk.gate": 3,
    "risk.protocols": 3,
    "risk.pipeline": 4,
}
"""Layer of each part of `risk` above the kernel, which is layer 0: every other module directly under `risk`."""

SIBLINGS = 3
"""Parts of this layer never import each other."""

IO_MODULES = frozenset(
    {
        "asyncio",
        "ccxt",
        "click",
        "duckdb",
        "glob",
        "http",
        "httpx",
        "logging",
        "multiprocessing",
        "os",
        "pathlib",
        "random",
        "requests",
        "rich",
        "secrets",
        "shutil",
        "socket",
        "ssl",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "time",
        "urllib",
        "urllib3",
        "uuid",
        "web3",
    }
)
"""Modules with a clock, a network, files, an environment or a hidden random state: not for `risk`."""


def modules() -> dict[str, Path]:
    """Every module of the three packages by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(tree: ast.AST, known: frozenset[str]) -> Iterator[str]:
    """Dotted names a syntax tree imports; a name that is one of our modules is given in full."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide their layer"
            assert node.module is not None
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in known else node.module


def within(name: str, packages: Iterable[str]) -> bool:
    """Whether a dotted name is one of the packages or lies inside one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def layer(module: str) -> int:
    """Layer of a module of `risk`; everything outside the listed parts is kernel."""
    return next((SUBPACKAGES[part] for part in SUBPACKAGES if within(module, (part,))), 0)


def part(module: str) -> str:
    """The part of `risk` a module belongs to."""
    return next((name for name in SUBPACKAGES if within(module, (name,))), "kernel")


def complaint(importer: str, target: str) -> str | None:
    """Why `importer` may not import `target`, or None when it may."""
    home, foreign = importer.partition(".")[0], target.partition(".")[0]
    mine, theirs = layer(importer), layer(target)
    if home == "risk":
        ours = foreign == "risk" and importer != "risk"
        rules = [
            (within(target, IO_MODULES), "risk has no clock, network, files, environment or hidden random state"),
            (foreign in PACKAGES and foreign != "risk", "risk imports nothing of ours outside risk"),
            (ours and target == "risk", "the package's front door is for those outside"),
            (ours and theirs > mine, f"{part(target)} lies above {part(importer)}"),
            (
                ours and mine == theirs == SIBLINGS and part(importer) != part(target),
                "policy, stress, gate and protocols do not import each other",
            ),
        ]
    elif home == "oracle_adapters":
        kernel_or_protocols = theirs == 0 or within(target, ("risk.protocols",))
        rules = [
            (foreign == "reports", "oracle_adapters does not know reports"),
            (
                foreign == "risk" and not kernel_or_protocols,
                "oracle_adapters imports only risk's kernel and risk.protocols",
            ),
        ]
    else:
        rules = []
    return next((why for broken, why in rules if broken), None)


def test_imports_point_one_way() -> None:
    known = frozenset(modules())
    broken = [
        f"{name} imports {target}: {why}"
        for name, path in modules().items()
        for target in sorted(set(imported(ast.parse(path.read_text(encoding="utf-8")), known)))
        if (why := complaint(name, target))
    ]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("importer", "target", "allowed"),
    [
        ("risk.tails.horizon", "risk.volatility.engine", True),
        ("risk.volatility.engine", "risk.tails.horizon", False),
        ("risk.market", "risk.volatility", False),
        ("risk.market", "oracle_adapters.files", False),
        ("risk.market", "reports", False),
        ("risk.market", "urllib.request", False),
        ("risk.market", "time", False),
        ("risk.policy.caps", "risk.stress.paths", False),
        ("risk.gate.rules", "risk.protocols.aave_v3", False),
        ("risk.policy.caps", "risk.policy.appetite", True),
        ("risk.pipeline", "risk.gate.rules", True),
        ("risk.gate.rules", "risk.pipeline", False),
        ("oracle_adapters.files", "risk.market", True),
        ("oracle_adapters.protocol_state", "risk.protocols.aave_v3", True),
        ("oracle_adapters.files", "risk.volatility", False),
        ("oracle_adapters.files", "reports.manifest", False),
        ("reports.cli.main", "oracle_adapters.files", True),
        ("reports.cli.main", "risk.pipeline", True),
    ],
)
def test_the_contract_itself(importer: str, target: str, allowed: bool) -> None:
    assert (complaint(importer, target) is None) is allowed


CLOCK_AND_FILES = frozenset(
    {"now", "utcnow", "today", "open", "input", "read_csv", "read_parquet", "loadtxt", "savetxt"}
)
"""Calls that reach a clock or a file by way of modules that are otherwise harmless."""


def test_risk_calls_no_clock_and_opens_no_file() -> None:
    """Package data is read through importlib.resources, whose methods have other names."""
    found = [
        f"{name}:{node.lineno} calls {called}"
        for name, path in modules().items()
        if name.startswith("risk.")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and (called := getattr(node.func, "attr", getattr(node.func, "id", ""))) in CLOCK_AND_FILES
    ]
    assert not found, "\n".join(found)


def test_every_part_of_risk_has_a_layer() -> None:
    folders = {f"risk.{path.parent.name}" for path in (ROOT / "risk").glob("*/__init__.py")}
    assert folders <= SUBPACKAGES.keys(), f"no layer is stated for {sorted(folders - SUBPACKAGES.keys())}"


def test_no_cycle_among_modules() -> None:
    """Cycles of imports at module level; one inside a function is a layer's matter, tested above."""
    known = frozenset(modules())
    graph = {}
    for name, path in modules().items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        top = [node for node in tree.body if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
        targets = imported(ast.Module(body=top, type_ignores=[]), known)
        graph[name] = {target for target in targets if target in known and target != name}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")


def test_a_module_holds_one_idea() -> None:
    long = {
        name: n for name, path in modules().items() if (n := len(path.read_text(encoding="utf-8").splitlines())) > 450
    }
    assert not long, f"over 450 lines: {long}"
