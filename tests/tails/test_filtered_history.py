"""Filtered historical simulation against golden values: EWMA variances and Hull and White (1998) losses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from risk.tails.figures import tail_statistics
from risk.volatility.exponential import fit_exponential
from risk.volatility.models import Presample
from tests.validation.series import portable_returns

DECAY = 0.94


@pytest.mark.data
@pytest.mark.parametrize("presample", list(Presample))
def test_ewma_and_hull_white_of_the_portable_series(shared: Path, presample: Presample) -> None:
    """Block ewma_fhs_lcg; REFERENCES.md A7. The reference starts at the variance of the first fifty returns.

    The filter is linear in its start, which fades with the decay: 0.94^1000 is 1e-27, so that the forecast must
    agree to rounding whatever the presample. Earlier variances differ by exactly the faded start. The quantiles of
    the reference are numpy's (position (n - 1) c), ours Hazen's (n c - 1/2): the same at another confidence.
    """
    golden = json.loads((shared / "reference_data" / "reference_values.json").read_text())["ewma_fhs_lcg"]
    returns, _ = portable_returns()
    n = len(returns)
    fit = fit_exponential(returns, decay=DECAY, presample=presample)
    assert np.sqrt(fit.last_variance) == pytest.approx(golden["sigma_next"], rel=1e-12)
    variances = fit.variances + DECAY ** np.arange(n) * (returns[:50].var() - fit.variances[0])
    losses = np.stack([-returns * np.sqrt(fit.last_variance / variances), -returns])
    levels = [((n - 1) * confidence + 0.5) / n for confidence in (0.975, 0.99)]
    (first, last), (_, plain) = tail_statistics(losses, levels)[0]
    assert last == pytest.approx(golden["hull_white_var99"], rel=1e-12)
    assert first == pytest.approx(golden["hw_var975"], rel=1e-12)
    assert plain == pytest.approx(golden["hs_var99"], rel=1e-12)
    # The mean of the twenty-five losses beyond the quantile: exactly the outermost 2.5 %.
    assert tail_statistics(losses, [0.975])[1][0, 0] == pytest.approx(golden["hw_es975"], rel=1e-12)
