"""The compilation policy: a kernel follows the kernels it calls, also across files and runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

INNER = """
from __future__ import annotations
from risk.volatility.jit import compiled

@compiled
def inner(x: float) -> float:
    return x + 1.0
"""
OUTER = """
from __future__ import annotations
from pair.inner import inner
from risk.volatility.jit import compiled

@compiled
def outer(x: float) -> float:
    return 2.0 * inner(x)
"""


def test_a_change_in_a_called_file_is_seen(tmp_path: Path, repository: Path) -> None:
    folder = tmp_path / "pair"
    folder.mkdir()
    for name, text in (("__init__", ""), ("inner", INNER), ("outer", OUTER)):
        (folder / f"{name}.py").write_text(text)

    def run() -> tuple[float, int]:
        code = "from pair.outer import outer; print(outer(1.0), sum(outer.stats.cache_hits.values()))"
        environment = {"PYTHONPATH": f"{tmp_path}:{repository}", "PATH": "", "HOME": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        value, hits = done.stdout.split()
        return float(value), int(hits)

    assert run() == (4.0, 0)
    assert run() == (4.0, 1)
    (folder / "inner.py").write_text(INNER.replace("+ 1.0", "+ 10.0"))
    assert run() == (22.0, 0)
