"""Tables of a proposal's document: columns with titles, rows of texts and shown numbers.

Tables of the artifacts are shown as they are: the name of a column says how its numbers are written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from reports import wording
from reports.wording import Shown
from risk.artifact import Table
from risk.calibration import Calibration, Measure, Side

Cell = str | Shown
QUOTED_CONFIDENCE = 0.99
"""Confidence of the figures that a proposal prints; all of them are in the calibration."""

_EXACT: Mapping[str, Callable[[Any], str]] = {
    "confidence": wording.confidence,
    "horizon": wording.duration,
    "es_horizon": wording.duration,
    "interval": wording.duration,
    "observed_at": wording.instant,
    "window": lambda value: f"{value:,} bars",
    "volatility": wording.percent,
    "value_at_risk": wording.percent,
    "expected_shortfall": wording.percent,
    "coverage": wording.percent,
    "expected": lambda value: f"{value:,.1f}",
}
_TITLES = {
    "n": "Forecasts",
    "score": "Mean log score",
    "difference": "Against EWMA-t",
    "p_one_sided": "p, one-sided",
    "p_two_sided": "p, two-sided",
    "p_value": "p",
    "better_p_value": "p, not better",
    "set_p_value": "p of the set",
    "in_set": "In the set",
    "crps": "CRPS",
    "fz0": "FZ0",
    "fz0_better_p_value": "FZ0: p, not better",
    "fz0_set_p_value": "FZ0: p of the set",
}
_ENDINGS: tuple[tuple[str, Callable[[Any], str]], ...] = (
    ("p_value", wording.p_value),
    ("_sided", wording.p_value),
    ("usd", wording.dollars),
    ("usd_per_year", wording.dollars),
    ("probability", wording.percent),
    ("share", wording.percent),
    ("rate", wording.percent),
    ("threshold", wording.percent),
    ("factor", wording.percent),
    ("seconds", wording.duration),
    ("horizon", wording.duration),
    ("delay", wording.duration),
    ("multiplier", lambda value: f"{value:g}"),
    ("as_of", wording.instant),
)


def writer_of(*names: str) -> Callable[[Any], str] | None:
    """How numbers of a column or fact are written, by the first of its names that says it."""
    for name in names:
        if name in _EXACT:
            return _EXACT[name]
        for ending, words in _ENDINGS:
            if name.endswith(ending):
                return words
    return None


def cell(value: object, *names: str) -> Cell:
    """One value of a column or fact: a text, or a number with its text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        words = writer_of(*names) or (wording.significant if isinstance(value, float) else wording.number)
        return Shown(value=value, text=words(value))
    return wording.ABSENT if value is None else str(value)


def from_table(table: Table) -> dict[str, Any]:
    """An artifact's table with titles for its columns."""
    return {
        "columns": [_TITLES.get(name, wording.title(name)) for name in table.columns],
        "rows": [[cell(value, name) for name, value in row.items()] for row in table.rows()],
    }


def of_assets(table: Table, calibration: Calibration, **equal: object) -> dict[str, Any]:
    """The rows about assets, not pairs, that have the given values in the columns named."""
    part = table.where(**{name: value for name, value in equal.items() if name in table.columns})
    kept = np.isin(part["subject"], sorted(calibration.assets)) if len(part) else np.empty(0, dtype=bool)
    return from_table(Table({name: column[kept] for name, column in part.columns.items()}))


_RACE_COLUMNS = (
    "subject",
    "model",
    "score",
    "difference",
    "better_p_value",
    "set_p_value",
    "in_set",
    "winner",
    "status",
)


def race_of_assets(calibration: Calibration) -> dict[str, Any]:
    """The races of assets, with the columns that decide them; all columns are in the races of every subject."""
    race = calibration.race
    shown = Table({name: race[name] for name in _RACE_COLUMNS if name in race.columns})
    return of_assets(shown, calibration)


def won_track_record(calibration: Calibration) -> Table:
    """Track record of each asset's own model at the quoted confidence, for who holds it."""
    record = calibration.track_record.where(confidence=QUOTED_CONFIDENCE, side=str(Side.DOWN))
    own = [(asset, model.model) for asset, model in sorted(calibration.assets.items())]
    kept = [pair in own for pair in zip(record["subject"].tolist(), record["model"].tolist(), strict=True)]
    mask = np.array(kept, dtype=bool)
    return Table({name: column[mask] for name, column in record.columns.items()})


def pooled_exceptions(record: Table) -> dict[str, Shown] | None:
    """Exceptions of all rows together, and their share; None without forecasts."""
    n, count = (int(record[name].sum()) if len(record) else 0 for name in ("n", "exceptions"))
    if not n:
        return None
    return {
        "exceptions": Shown(value=count, text=f"{count:,}"),
        "forecasts": Shown(value=n, text=f"{n:,}"),
        "share": Shown(value=count / n, text=wording.percent(count / n)),
    }


_FIGURE_COLUMNS = ("Subject", "Measure", "Confidence", "Horizon", "Side", "Method", "Window", "Value", "90 % interval",
                   "Returns", "Status")  # fmt: skip


def quoted_figures(calibration: Calibration) -> dict[str, Any]:
    """Figures of the assets' losses at the quoted confidence, and their volatilities, with all that they carry."""
    rows = []
    for row in calibration.figures.rows():
        volatility = row["measure"] == Measure.VOLATILITY
        if not volatility and (row["confidence"] != QUOTED_CONFIDENCE or row["side"] != Side.DOWN):
            continue
        if row["subject"] not in calibration.assets:
            continue
        interval = f"{wording.percent(row['lower'])} to {wording.percent(row['upper'])}"
        rows.append(
            [
                row["subject"],
                wording.title(row["measure"]),
                wording.ABSENT if volatility else cell(row["confidence"], "confidence"),
                cell(row["horizon"], "horizon"),
                row["side"],
                row["method"],
                cell(row["window"], "window"),
                Shown(value=row["value"], text=wording.percent(row["value"])),
                Shown(value=f"{row['lower']} {row['upper']}", text=interval),
                cell(row["n_observations"]),
                row["status"],
            ]
        )
    return {"columns": list(_FIGURE_COLUMNS), "rows": rows}


def reserve_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the recommendation says of each reserve: chance of a shortfall, binding budget, sensitivity."""
    columns: dict[str, dict[str, Cell]] = {}
    chances = _mapping(facts.get("any_shortfall_probability"))
    for set_id in sorted(chances):
        title = f"Chance that a position of the reference book falls short, {wording.title(set_id).lower()}"
        columns[title] = {r: cell(p, "probability") for r, p in _mapping(chances[set_id]).items()}
    columns["Binding"] = {r: str(text) for r, text in _mapping(facts.get("binding")).items()}
    for reserve, found in _mapping(facts.get("sensitivity")).items():
        for name, value in (_mapping(found) or {"sensitivity": found}).items():
            title = f"Threshold with {name.replace('_', ' ')}"
            columns.setdefault(title, {})[reserve] = cell(value, "threshold")
    return _by_subject("Reserve", columns)


def twin_facts(facts: Mapping[str, Any], allowed: float) -> dict[str, Any]:
    """The historical twin of each reserve: the mean loss that history gave at the target, against the appetite.

    Parameters
    ----------
    allowed
        Appetite for the mean loss per unit of debt that crosses its threshold.
    """
    columns: dict[str, dict[str, Cell]] = {}
    budget = Shown(value=allowed, text=wording.percent(allowed, 3))
    binding = _mapping(facts.get("binding"))
    for reserve, found in _mapping(facts.get("twin")).items():
        for name, value in _mapping(found).items():
            if name != _TWIN_LOSS:
                columns.setdefault(wording.title(name), {})[reserve] = cell(value, name)
                continue
            columns.setdefault("Mean loss at the target", {})[reserve] = Shown(
                value=value, text=wording.percent(value, 3)
            )
            columns.setdefault("Appetite", {})[reserve] = budget
            columns.setdefault("Kept in history", {})[reserve] = "yes" if value <= allowed else "no"
            binds = "mean loss" in str(binding.get(reserve, ""))
            columns.setdefault("Binds the target", {})[reserve] = "yes" if binds else "no"
    return _by_subject("Reserve", columns)


_TWIN_LOSS = "mean loss at the target"


def of_sets(title: str, facts: object) -> dict[str, Any]:
    """Facts of each parameter set as a line a fact, with a column a set."""
    found = _mapping(facts)
    names = [name for name in ("in_force", "next_step", "target") if name in found]
    columns = {
        wording.title(set_id): {_said(name): value for name, value in _named(_mapping(found[set_id]))}
        for set_id in names
    }
    return _by_subject(title, columns, ordered=False)


def depth_facts(facts: object) -> dict[str, Any]:
    """Depth of each collateral within the bonus, by parameter set, and where it comes from."""
    columns: dict[str, dict[str, Cell]] = {}
    for asset, found in _mapping(facts).items():
        for set_id, value in _mapping(_mapping(found).get("usd")).items():
            columns.setdefault(wording.title(set_id), {})[asset] = cell(value, "usd")
        for name in ("origin", "note"):
            if name in _mapping(found):
                columns.setdefault(wording.title(name), {})[asset] = str(found[name])
    order = ["In force", "Next step", "Target", "Origin", "Note"]
    return _by_subject("Collateral", dict(sorted(columns.items(), key=lambda item: order.index(item[0]))))


def _named(facts: Mapping[str, Any]) -> Iterator[tuple[str, Cell]]:
    return ((name, cell(value, name)) for name, value in facts.items() if not isinstance(value, (Mapping, list, tuple)))


def _said(name: str) -> str:
    """The name of a fact without the unit that its value says itself."""
    return wording.title(name.removesuffix("_usd").removesuffix(" usd"))


def _by_subject(head: str, columns: Mapping[str, Mapping[str, Cell]], *, ordered: bool = True) -> dict[str, Any]:
    """A table with a line a subject; columns without any value are left out."""
    columns = {title: cells for title, cells in columns.items() if cells}
    subjects = dict.fromkeys(subject for cells in columns.values() for subject in cells)
    rows = [
        [subject, *(cells.get(subject, wording.ABSENT) for cells in columns.values())]
        for subject in (sorted(subjects) if ordered else subjects)
    ]
    return {"columns": [head, *columns], "rows": rows}


_SHOWN_ELSEWHERE = {
    "any_shortfall_probability",
    "assumptions",
    "binding",
    "books",
    "depth",
    "newly_liquidatable",
    "sensitivity",
    "twin",
}


def other_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Every fact that has no place of its own, a line each."""
    others = {name: value for name, value in sorted(facts.items()) if name not in _SHOWN_ELSEWHERE}
    return {"columns": ["Fact", "Value"], "rows": [[name, value] for name, value in _leaves(others)]}


def lines(facts: object) -> list[dict[str, str]]:
    """Facts as names and texts; those of one name are joined."""
    texts: dict[str, list[str]] = {}
    for name, value in _leaves(_mapping(facts)):
        texts.setdefault(name, []).append(value if isinstance(value, str) else value["text"])
    return [{"name": name, "text": "; ".join(found)} for name, found in texts.items()]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _leaves(facts: Mapping[str, Any], names: tuple[str, ...] = ()) -> Iterator[tuple[str, Cell]]:
    """Leaves of nested facts with the names that lead to them; a list is one leaf an item."""
    for name, child in facts.items():
        path = (*names, name)
        items = child if isinstance(child, (list, tuple)) else (child,)
        for item in items:
            if isinstance(item, Mapping):
                yield from _leaves(item, path)
            else:
                yield _line(path), cell(item, *reversed(path))


def _line(path: tuple[str, ...]) -> str:
    """The names that lead to a fact; keys and symbols stay as they are."""
    first, *others = path
    words = [name if "/" in name or name.upper() == name else name.replace("_", " ") for name in others]
    return ": ".join([first if "/" in first else wording.title(first), *words])
