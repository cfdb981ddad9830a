"""Commands that people wait for start light: heavy modules are absent from them, which no clock needs to measure."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

HEAVY = (
    "arch",
    "ccxt",
    "duckdb",
    "matplotlib",
    "numba",
    "pandas",
    "scipy.optimize",
    "scipy.stats",
    "statsmodels",
    "web3",
)

PROBE = """
import contextlib, io, json, sys
with contextlib.redirect_stdout(io.StringIO()):
    try:
        {statement}
    except SystemExit as stop:
        assert not stop.code, stop.code
print(json.dumps(sorted(sys.modules)))
"""


def modules_after(statement: str) -> set[str]:
    """Names of all modules a fresh interpreter has loaded after a statement."""
    run = subprocess.run(
        [sys.executable, "-c", PROBE.format(statement=statement)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stdout))


def test_the_probe_sees_what_is_loaded() -> None:
    assert "scipy.stats" in modules_after("import scipy.stats")


COMMAND_LINE = "reports.cli.main"


@pytest.mark.parametrize(
    "statement",
    [
        "import risk",
        "import oracle_adapters",
        "import reports",
        f"from {COMMAND_LINE} import main; main(['--help'])",
    ],
)
def test_heavy_modules_stay_away(statement: str) -> None:
    if COMMAND_LINE in statement and importlib.util.find_spec("reports.cli") is None:
        pytest.skip("the command line is not there yet")
    loaded = modules_after(statement)
    assert not loaded & set(HEAVY), f"{statement!r} loads {sorted(loaded & set(HEAVY))}"
