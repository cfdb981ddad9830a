"""How fast the store is with 5 million minute bars, beside pandas in the same run: `make bench`.

Both keep the same five fields of the same bars on the same disk: the store as 25 million long rows that can be read
as of any instant, pandas as one pickled frame of five columns, which can only be read in whole. Each side runs in a
process of its own, whose peak memory is its own. Times are of the processor, so that a busy computer changes them
little; none is asserted.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BARS = 5_000_000
ROOT = Path(__file__).parents[2]

HEAD = f"""
import json, resource, sys, time
import numpy as np
BARS, FOLDER, FIELDS = {BARS}, sys.argv[1], ("close", "high", "low", "open", "volume")
said = {{}}

def market(first, last):
    "Prices in cents of these minutes, a column a field: high and low around open and close."
    rng = np.random.default_rng(first)
    price = np.round(100 + np.cumsum(rng.normal(0, 0.02, last - first + 1)) % 50, 2)
    opened, closed = price[:-1], price[1:]
    return {{
        "close": closed, "high": np.maximum(opened, closed) + 0.01, "low": np.minimum(opened, closed) - 0.01,
        "open": opened, "volume": rng.integers(1, 1000, last - first) / 8,
    }}

def timed(name, action):
    start = time.process_time()
    found = action()
    said[name] = said.get(name, 0.0) + time.process_time() - start
    return found

def finish(**results):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({{"seconds": said, "peak": peak, **results}}))
"""

OURS = """
from pathlib import Path
from oracle_adapters.feed import FeedSpec, Kind
from oracle_adapters.resample import resample
from oracle_adapters.store import Store
from risk.artifact import Table
store, spec = Store(Path(FOLDER)), FeedSpec(Kind.PRICE, "ETH", "USD", "bench", 60)
STEP = BARS // 10
for first in range(0, BARS, STEP):
    bars = market(first, first + STEP)
    end = np.repeat(np.arange(first + 1, first + STEP + 1) * 60, 5)
    rows = Table({"observed_at": end, "field": np.tile(FIELDS, STEP), "known_at": end,
                  "value": np.column_stack([bars[name] for name in FIELDS]).ravel()})
    timed("append", lambda: store.append(spec, rows))
del bars, end, rows
SPAN = dict(start=60 * BARS // 2, stop=60 * (BARS // 2 + 1440 * 7))
week = timed("slice", lambda: store.read(spec, **SPAN))
earlier = timed("as of", lambda: store.read(spec, known_at=SPAN["stop"], start=SPAN["start"]))
assert len(earlier) == len(week) + 5
hours = []
for name in FIELDS:
    rows = timed("read", lambda: store.read(spec, field=name))
    hours.append(timed("resample", lambda: resample(rows, 60, 3600).rows))
sizes = sum(part.stat().st_size for part in store.part_files(spec))
finish(rows=len(week), hours={t["field"][0].item(): t["value"].tolist() for t in hours}, megabytes=sizes / 1e6)
"""

PANDAS = """
import os
import pandas as pd
STEP = BARS // 10
def build():
    parts = [pd.DataFrame(market(first, first + STEP), index=np.arange(first + 1, first + STEP + 1) * 60)
             for first in range(0, BARS, STEP)]
    return parts
parts = build()
def append():
    frame = pd.concat(parts)
    frame.to_pickle(FOLDER + "/frame.pickle")
timed("append", append)
del parts
file = FOLDER + "/frame.pickle"
week = timed("slice", lambda: pd.read_pickle(file).loc[60 * BARS // 2 : 60 * (BARS // 2 + 1440 * 7) - 1])
RULES = {"close": "last", "high": "max", "low": "min", "open": "first", "volume": "sum"}
frame = timed("read", lambda: pd.read_pickle(file))
def longer():
    frame.index = pd.to_datetime(frame.index, unit="s")
    bars = frame.resample("1h", closed="right", label="right")
    return bars.agg(RULES)[bars["close"].count() == 60]
hours = timed("resample", longer)
finish(rows=5 * len(week), hours={name: hours[name].tolist() for name in FIELDS}, megabytes=os.path.getsize(file) / 1e6)
"""


def measure(program: str, folder: Path) -> dict:
    """What a process of its own says of itself."""
    folder.mkdir()
    listed = [sys.executable, "-c", HEAD + program, str(folder)]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_store_beside_pandas(tmp_path: Path) -> None:
    """Append in ten steps, one week out of ten years, all of it, and hours from minutes in memory."""
    ours, theirs = measure(OURS, tmp_path / "store"), measure(PANDAS, tmp_path / "pandas")
    assert ours["rows"] == theirs["rows"] == 5 * 7 * 1440
    for name, values in theirs["hours"].items():
        assert len(values) == len(ours["hours"][name]) == BARS // 60
        worst = max(abs(a - b) / abs(b) for a, b in zip(ours["hours"][name], values, strict=True))
        assert worst <= 60 * 2.0**-52, name  # sums of 60 terms
    sys.stdout.write(f"\n{f'{BARS:,} minute bars':<32}{'store s':>10}{'pandas s':>10}{'ratio':>9}\n")
    for name in ("append", "slice", "as of", "read", "resample"):
        mine, other = ours["seconds"][name], theirs["seconds"].get(name, theirs["seconds"]["slice"])
        sys.stdout.write(f"{name:<32}{mine:>10.3f}{other:>10.3f}{other / mine:>9.2f}\n")
    for name, unit in (("peak", "peak memory, MiB"), ("megabytes", "on disk, MB")):
        sys.stdout.write(f"{unit:<32}{ours[name]:>10.0f}{theirs[name]:>10.0f}{theirs[name] / ours[name]:>9.2f}\n")
