"""The compilation policy: a kernel follows the kernels it calls, and gives the same bits however it was compiled."""

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


FITS = """
import sys
import numpy as np
from risk.volatility.engine import fit_garch, filter_variances
from risk.volatility.models import VolatilityModel
if sys.argv[1] == "parts first":
    filter_variances(np.array([0.0, 1e-5, 0.05, 0.0, 0.9, 5.0]), np.linspace(-0.02, 0.03, 300))
for seed in range(4):
    returns = np.random.default_rng(seed).standard_t(4, 400) * 0.02
    for model in (VolatilityModel.GARCH_T, VolatilityModel.GJR_T):
        print({name: value.hex() for name, value in fit_garch(model, returns).parameters.items()})
"""


def test_fits_have_the_same_bits_whatever_was_compiled_first_and_from_the_cache(
    tmp_path: Path, repository: Path
) -> None:
    def run(cache: str, order: str) -> str:
        environment = {"PYTHONPATH": str(repository), "PATH": "", "NUMBA_CACHE_DIR": str(tmp_path / cache)}
        done = subprocess.run(
            [sys.executable, "-c", FITS, order], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    fresh = run("one", "whole first")
    assert len(fresh) > 100
    assert run("one", "whole first") == fresh
    assert run("two", "parts first") == fresh
    assert run("two", "whole first") == fresh
