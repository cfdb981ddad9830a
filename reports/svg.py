"""Matplotlib figures as SVG that a page can own: the same bytes each time, and colours that follow the theme.

Charts are drawn in stand-in colours which become CSS variables here, so that one drawing serves the light and
the dark page. Text stays text, fonts come from the reader, and every id carries the chart's name because a page
holds many charts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 400
"""Width of every chart in points: legible without zooming on a phone, and two to a row on a desk."""

INK, MUTED, RULE, PAPER = "#010101", "#020202", "#030303", "#040404"
TARGET, IN_FORCE, STEP, ALARM = "#050505", "#060606", "#070707", "#080808"
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    PAPER: "var(--paper)",
    TARGET: "var(--accent)",
    IN_FORCE: "var(--second)",
    STEP: "var(--muted)",
    ALARM: "var(--fail)",
}
LIGHT = {
    "ink": "#191c22", "muted": "#565d69", "rule": "#d7d9de", "paper": "#ffffff", "panel": "#f5f5f2",
    "accent": "#1d4f91", "second": "#9a5b00", "pass": "#1b6640", "fail": "#a4221b", "note": "#6b5300",
}  # fmt: skip
"""Colours on white paper; every text colour has a contrast of at least 4.5 on paper and panel."""
DARK = {
    "ink": "#e9eaed", "muted": "#a6adb9", "rule": "#3a3f49", "paper": "#14161a", "panel": "#1d2026",
    "accent": "#8db8f2", "second": "#e5ac57", "pass": "#74cf9d", "fail": "#ff958b", "note": "#dcc163",
}  # fmt: skip


def variables(colours: dict[str, str]) -> str:
    """Colours as CSS declarations."""
    return "".join(f"--{name}:{colour};" for name, colour in colours.items())


_STANDALONE = (
    f"<style>svg{{{variables(LIGHT)}font-family:system-ui,sans-serif;stroke-linejoin:round}}"
    f"@media(prefers-color-scheme:dark){{svg{{{variables(DARK)}}}}}</style>"
)
_FAMILY = re.compile(r"font-family: [^;\"]*;? ?")
_FONT = re.compile(r"font: (?:(\d+) )?([\d.]+)px [^;\"]*")  # the short form that older versions of matplotlib write
_GEOMETRY = re.compile(r' (?:d|x|y|width|height|transform)="[^"]*"')
_MARKS = re.compile(r"<g([^>]*)>((?:\s*<use [^>]*/>)+)\s*</g>")
_STYLE = re.compile(r' style="[^"]*"')
_LONG = re.compile(r"-?\d+\.\d{3,}")
_RC = {
    "svg.fonttype": "none",
    "svg.hashsalt": "riskcal",
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "font.size": 10.5,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "text.color": INK,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "xtick.minor.visible": False,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "legend.handlelength": 1.6,
    "lines.linewidth": 1.5,
}


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing with its words.

    Attributes
    ----------
    name
        File name without its ending; unique in a proposal.
    title, description
        What it shows, and what is to be seen in it, for readers who cannot see it.
    group
        Part of the proposal that it belongs to: ``parameters``, ``stress``, ``model`` or ``tail``.
    subject
        Asset that it is about, or empty.
    inline
        The SVG element, without colours of its own.
    """

    name: str
    title: str
    description: str
    group: str
    subject: str
    inline: str

    @property
    def file(self) -> bytes:
        """The chart as a file of its own, light and dark."""
        head, close, rest = self.inline.partition(">")
        return f"{head}{close}{_STANDALONE}{rest}\n".encode()


@contextmanager
def canvas(height: float) -> Iterator[Figure]:
    """A figure of the house's width in points; outside settings and fonts of the user have no say."""
    import matplotlib.style
    from matplotlib.figure import Figure

    with matplotlib.style.context(["default", _RC]):
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
        figure.patch.set_alpha(0)
        yield figure


def axes(figure: Figure, box: tuple[float, float, float, float]) -> Axes:
    """Axes in a box of points (left, bottom, width, height), so that no text measure moves anything."""
    width, height = figure.get_size_inches() * 72
    left, bottom, wide, high = box
    created: Any = figure.add_axes((left / width, bottom / height, wide / width, high / height))
    created.patch.set_alpha(0)
    return created  # type: ignore[no-any-return]


def chart(figure: Figure, *, name: str, title: str, description: str, group: str, subject: str = "") -> Chart:
    """Turn a drawn figure into a chart; call it inside its `canvas`."""
    import io

    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    body = text[text.index(">", text.index("<svg")) + 1 :]
    body = re.sub(
        r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>|<!--.*?-->", "", body, flags=re.DOTALL
    )
    body = re.sub(r'\bid="([^"]*)"', rf'id="{name}-\1"', body)
    body = re.sub(r'\b(?:xlink:)?href="#([^"]*)"', rf'href="#{name}-\1"', body)
    body = re.sub(r"url\(#([^)]*)\)", rf"url(#{name}-\1)", body)
    body = _FAMILY.sub("", body)
    body = _FONT.sub(lambda m: (f"font-weight: {m[1]}; " if m[1] else "") + f"font-size: {m[2]}px", body)
    body = _GEOMETRY.sub(lambda m: _LONG.sub(lambda n: f"{float(n[0]):.2f}", m[0]), body)
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, variable)
    body = re.sub(r"\n\s*", "\n", body)
    body = _MARKS.sub(_share_style, body)
    height = round(float(figure.get_size_inches()[1]) * 72)
    inline = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
        f"{body.strip()}"
    )
    return Chart(name, title, description, group, subject, inline)


def _share_style(group: re.Match[str]) -> str:
    """Give the style that all marks of a group share to the group, once."""
    styles = set(_STYLE.findall(group[2]))
    if len(styles) != 1:
        return group[0]
    return f"<g{group[1]}{styles.pop()}>{_STYLE.sub('', group[2])}\n</g>"
