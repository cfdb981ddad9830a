"""The charts of a proposal, drawn from its artifacts; each is a function of its data alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from reports import svg, wording
from reports.svg import ALARM, IN_FORCE, INK, MUTED, PAPER, RULE, STEP, TARGET, Chart
from reports.verdict import SETS, parsed
from risk.artifact import Table
from risk.calibration import Calibration, SubjectModel
from risk.market import FloatArray
from risk.outcome import StressResult
from risk.parameters import SPECS, Malformed
from risk.recommendation import Derivation, Recommendation
from risk.units import DAY, Dimension

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEFT, _RIGHT = 58, 10
_SETS = {"in_force": (IN_FORCE, (0, (4, 2))), "target": (TARGET, "solid")}


def build_charts(calibration: Calibration, recommendation: Recommendation, stress: StressResult) -> tuple[Chart, ...]:
    """Every chart that the artifacts have data for, in the order of the page."""
    charts = [*_parameter_charts(recommendation)]
    if len(stress.curve):
        charts.append(bad_debt_chart(stress.curve))
    if len(stress.losses):
        simulation = stress.facts.get("simulation", {})
        charts.append(loss_chart(stress.losses, simulation.get("losses_horizon")))
    for subject, model in sorted(calibration.assets.items()):
        rows = calibration.exceptions.where(subject=subject)
        if len(rows):
            charts.append(volatility_chart(subject, rows))
        charts.append(tail_chart(subject, model))
    return tuple(charts)


def _slug(text: str) -> str:
    """A part of a file name and of an id; different texts stay different."""
    return re.sub(r"[^A-Za-z0-9]", lambda match: f"_{ord(match[0]):x}_", text)


def _short(text: str, length: int = 12) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _compact(value: float) -> str:
    """Dollars on an axis: ``250 k``, ``1.5 M``."""
    for size, unit in ((1e9, " bn"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _formatted(axis: Any, words: Any) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: words(value)))
    axis.set_minor_formatter(NullFormatter())


def date_ticks(first: int, last: int, most: int = 5) -> list[tuple[int, str]]:
    """Unix seconds and labels on an axis from `first` to `last`: years, else months, else the two ends."""
    begin, end = datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last, UTC)
    months = range(begin.year * 12 + begin.month - 1, end.year * 12 + end.month)
    for step in (1, 3, 6, 12, 24, 60, 120, 600):
        starts = [datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC) for month in months if month % step == 0]
        ticks = [start for start in starts if begin <= start <= end]
        if 2 <= len(ticks) <= most:
            form = "%Y" if step >= 12 else "%Y-%m"
            return [(int(tick.timestamp()), tick.strftime(form)) for tick in ticks]
    return [(first, wording.date(first)), (last, wording.date(last))]


def _percent_tick(value: float) -> str:
    return f"{round(value * 100, 6):g} %"


def _legend(ax: Axes, columns: int = 3) -> None:
    ax.legend(
        loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.1, borderpad=0.1, ncols=columns, columnspacing=1.2,
        handletextpad=0.5, labelcolor=INK,
    )  # fmt: skip


def _parameter_charts(recommendation: Recommendation) -> list[Chart]:
    charts = []
    for name, spec in SPECS.items():
        rows = [d for d in recommendation.derivations if d.key.parameter == name]
        moves = any(d.lower is not None or d.target != d.current for d in rows)
        if spec.dimension is Dimension.RATIO and moves:
            charts.append(parameter_chart(name, sorted(rows, key=lambda d: d.key)))
    return charts


def parameter_chart(parameter: str, derivations: Sequence[Derivation]) -> Chart:
    """One ratio parameter over all subjects: in force, next step and target, with the target's interval."""
    title = f"{SPECS[parameter].title}: in force, next step and target"
    height = 46 + 19 * len(derivations)
    with svg.canvas(height) as figure:
        ax = svg.axes(figure, (92, 24, svg.WIDTH - 92 - _RIGHT - 8, 19 * len(derivations)))
        styles: dict[str, dict[str, Any]] = {
            "in_force": {"marker": "o", "markerfacecolor": PAPER, "markeredgecolor": IN_FORCE, "markersize": 7},
            "next_step": {"marker": "|", "color": STEP, "markersize": 9, "markeredgewidth": 1.6},
            "target": {"marker": "D", "markerfacecolor": TARGET, "markeredgecolor": TARGET, "markersize": 5.5},
        }
        places: dict[str, tuple[list[float], list[int]]] = {name: ([], []) for name in styles}
        for row, derivation in enumerate(derivations):
            if derivation.lower is not None and derivation.upper is not None and derivation.refusal is None:
                ax.plot([derivation.lower, derivation.upper], [row, row], color=TARGET, alpha=0.35, linewidth=4.5)
            texts = (derivation.current, derivation.next_step, derivation.target)
            values = [_ratio(derivation, text) for text in texts]
            for name, value in zip(styles, values, strict=True):
                if value is not None and not (name == "target" and derivation.refusal is not None):
                    places[name][0].append(value)
                    places[name][1].append(row)
        for name, style in styles.items():
            ax.plot(*places[name], linestyle="none", label=SETS[name], clip_on=False, zorder=3, **style)
        labels = [_short(d.key.subject + (f" {d.key.path[1]}" if d.key.path else "")) for d in derivations]
        ax.set_yticks(range(len(labels)), labels)
        ax.set_ylim(len(labels) - 0.5, -0.5)
        ax.tick_params(axis="y", length=0, labelcolor=INK)
        ax.margins(x=0.08)
        ax.grid(visible=False, axis="y")
        _formatted(ax.xaxis, _percent_tick)
        ax.locator_params(axis="x", nbins=5)
        _legend(ax)
        moved = sum(d.target != d.current and d.refusal is None for d in derivations)
        refused = sum(d.refusal is not None for d in derivations)
        banded = any(d.lower is not None and d.upper is not None and d.refusal is None for d in derivations)
        bands = "Bands are 90 % intervals of the target." if banded else "The target has no interval."
        description = f"{moved} of {len(derivations)} change, {refused} refused. {bands}"
        return svg.chart(
            figure, name=f"parameters-{parameter}", title=title, description=description, group="parameters"
        )


def _ratio(derivation: Derivation, text: str | None) -> float | None:
    value = parsed(derivation, text)
    return None if value is None or isinstance(value, Malformed) else float(value.value)


def bad_debt_chart(curve: Table) -> Chart:
    """Bad debt (latent and realised) after an instant fall of all collateral but stablecoins."""
    words = []
    with svg.canvas(230) as figure:
        ax = svg.axes(figure, (_LEFT, 40, svg.WIDTH - _LEFT - _RIGHT, 168))
        for set_id, (colour, style) in _SETS.items():
            rows = curve.where(set_id=set_id)
            if not len(rows):
                continue
            total = rows["latent"] + rows["realised"]
            ax.plot(rows["shock"], total, color=colour, linestyle=style, label=SETS[set_id], marker="o", markersize=2.5)
            words.append(f"{SETS[set_id]}: up to {wording.dollars(float(total.max()))}")
        ax.set_ylim(bottom=0)
        ax.margins(x=0.01)
        ax.set_xlabel("Fall of all collateral but stablecoins")
        _formatted(ax.xaxis, _percent_tick)
        _formatted(ax.yaxis, _compact)
        ax.annotate("USD", (0, 1), xycoords="axes fraction", xytext=(-8, 8), textcoords="offset points", ha="right",
                    color=MUTED, fontsize=9.5)  # fmt: skip
        _legend(ax)
        description = f"Latent and realised bad debt against the shock. {'; '.join(words)}."
        return svg.chart(
            figure,
            name="bad-debt-shock",
            title="Bad debt against a price shock",
            description=description,
            group="stress",
        )


def loss_chart(losses: Table, horizon: int | None = None) -> Chart:
    """Share of simulated paths whose bad debt is at least as large, both axes logarithmic.

    Parameters
    ----------
    losses
        Table ``set_id, path, loss``, US dollars.
    horizon
        Seconds after which the losses are counted, for the caption; None where it is not known.
    """
    words = []
    with svg.canvas(230) as figure:
        ax = svg.axes(figure, (_LEFT, 40, svg.WIDTH - _LEFT - _RIGHT, 168))
        drawn = False
        for set_id, (colour, style) in _SETS.items():
            values = losses.where(set_id=set_id)["loss"]
            if not len(values):
                continue
            positive = np.sort(values[values > 0])
            share = np.arange(len(positive), 0, -1) / len(values)
            words.append(
                f"{SETS[set_id]}: {wording.percent(len(positive) / len(values))} of {len(values):,} paths lose"
            )
            if len(positive):
                ax.plot(positive, share, color=colour, linestyle=style, label=SETS[set_id], drawstyle="steps-pre")
                drawn = True
        if drawn:
            ax.set_xscale("log")
            ax.set_yscale("log")
            _formatted(ax.xaxis, _compact)
            _formatted(ax.yaxis, _percent_tick)
            _legend(ax)
        else:
            ax.set_axis_off()
            ax.text(0.5, 0.5, "No simulated path loses anything", ha="center", transform=ax.transAxes, color=MUTED)
        ax.set_xlabel("Bad debt of at least, USD")
        after = f" after {wording.duration(horizon)}" if horizon else ""
        description = f"Share of simulated paths with at least that bad debt{after}. {'; '.join(words)}."
        return svg.chart(
            figure, name="losses", title="Simulated loss distribution", description=description, group="stress"
        )


def volatility_chart(subject: str, rows: Table) -> Chart:
    """Forecast volatility, and returns below it against the 99 % value at risk, with the exceptions marked."""
    observed_at = rows["observed_at"]
    days, ticks = observed_at / DAY, date_ticks(int(observed_at[0]), int(observed_at[-1]))
    returns, limit, exception = rows["value"], rows["value_at_risk"], rows["exception"].astype(bool)
    with svg.canvas(294) as figure:
        wide = svg.WIDTH - _LEFT - _RIGHT
        top = svg.axes(figure, (_LEFT, 194, wide, 84))
        low = svg.axes(figure, (_LEFT, 26, wide, 142))
        top.plot(days, rows["volatility"], color=TARGET, linewidth=1)
        top.set_ylim(bottom=0)
        top.tick_params(labelbottom=False)
        # One path with gaps instead of a line a bar keeps the page small.
        bars = np.column_stack((np.zeros_like(returns), returns, np.full_like(returns, np.nan))).ravel()
        low.plot(np.repeat(days, 3), bars, color=MUTED, linewidth=0.6, alpha=0.7)
        low.plot(days, -limit, color=TARGET, linewidth=1.1)
        low.plot(days[exception], returns[exception], linestyle="none", marker="o", markersize=4.5, color=ALARM)
        low.axhline(0, color=RULE, linewidth=0.8)
        for ax, text in ((top, "Forecast volatility of one bar"), (low, "Return, −VaR 99 % (line), exceptions (dots)")):
            ax.set_title(text, loc="left", fontsize=10, color=INK, pad=4)
            ax.margins(x=0.01)
            ax.set_xticks([at / DAY for at, _ in ticks], [label for _, label in ticks])
            ax.locator_params(axis="y", nbins=5)
            _formatted(ax.yaxis, _percent_tick)
        count = int(exception.sum())
        first, last = (wording.date(int(observed_at[index])) for index in (0, -1))
        description = (
            f"{wording.plural(count, 'exception')} in {len(rows):,} bars from {first} to {last}; "
            f"{len(rows) * 0.01:.1f} expected at 99 %."
        )
        return svg.chart(
            figure, name=f"volatility-{_slug(subject)}", title=f"{subject}: volatility and exceptions",
            description=description, group="model", subject=subject,
        )  # fmt: skip


def tail_chart(subject: str, model: SubjectModel) -> Chart:
    """Chance that a standardised shock is at least as large, observed against fitted, for falls and rises."""
    shapes: Mapping[str, tuple[str, str, float]] = {"falls": (TARGET, "o", -1.0), "rises": (IN_FORCE, "^", 1.0)}
    with svg.canvas(246) as figure:
        ax = svg.axes(figure, (_LEFT, 40, svg.WIDTH - _LEFT - _RIGHT, 168))
        for side, (colour, marker, sign) in shapes.items():
            size, chance = survival(sign * model.residuals)
            ax.plot(size, chance, linestyle="none", marker=marker, markersize=3, color=colour, alpha=0.55,
                    label=f"observed {side}")  # fmt: skip
            size, chance = fitted_survival(model, sign)
            ax.plot(size, chance, color=colour, linestyle="solid" if sign < 0 else (0, (4, 2)), label=f"fitted {side}")
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlim(left=1.0)
        ax.set_ylim(1e-4, 0.3)
        ax.set_xlabel("Size of a shock, in standard deviations")
        ax.xaxis.set_major_locator(_steps())
        _formatted(ax.xaxis, lambda value: f"{value:g}")
        _formatted(ax.yaxis, _percent_tick)
        _legend(ax, columns=2)
        worst = float(-model.residuals.min()) if len(model.residuals) else 0.0
        description = f"{len(model.residuals):,} residuals; the worst fall is {worst:.1f} standard deviations."
        return svg.chart(
            figure, name=f"tail-{_slug(subject)}", title=f"{subject}: tail fit", description=description, group="tail",
            subject=subject,
        )  # fmt: skip


def _steps() -> Any:
    from matplotlib.ticker import LogLocator

    return LogLocator(base=10, subs=(1, 2, 5))


def survival(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sizes above one and the share of values at least as large, (i − ½)/n from the largest down."""
    ordered = np.sort(values)[::-1]
    chance = (np.arange(len(ordered)) + 0.5) / max(len(ordered), 1)
    kept = ordered >= 1.0
    return ordered[kept], chance[kept]


def fitted_survival(model: SubjectModel, sign: float) -> tuple[FloatArray, FloatArray]:
    """The same from the model's quantile function of shocks."""
    from risk.tails.shocks import shock_probabilities

    probability = shock_probabilities(len(model.shocks))
    chance = probability if sign < 0 else 1.0 - probability
    size = sign * model.shocks
    kept = size >= 1.0
    return size[kept], chance[kept]
