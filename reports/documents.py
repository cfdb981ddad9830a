"""Templates: one proposal document, rendered as Markdown and as a page.

Every value that a template prints is escaped for its format, because names and reasons come from settings, files
and the network; only a `Markup` is printed as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports import svg, wording
from reports.svg import Chart


def _environment(*, html: bool) -> Environment:
    def finalize(value: object) -> object:
        if isinstance(value, Markup):
            return value
        # Markdown is escaped here and marked as done; for HTML the engine's own escaping follows.
        return wording.clean(str(value)) if html else Markup(wording.markdown(str(value)))  # noqa: S704

    return Environment(
        loader=PackageLoader("reports", "templates"),
        autoescape=True,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render_markdown(content: Mapping[str, Any]) -> bytes:
    """The proposal as Markdown, in the order that governance forums expect."""
    environment = _environment(html=False)
    environment.filters |= {"code": _code, "yaml": _yaml}
    return environment.get_template("proposal.md.j2").render(content).encode()


def render_page(content: Mapping[str, Any], charts: Sequence[Chart]) -> bytes:
    """The proposal as one HTML file that needs nothing else."""
    environment = _environment(html=True)
    environment.globals |= {
        "charts": charts,
        "light": Markup(svg.variables(svg.LIGHT)),  # noqa: S704 - our own colours
        "dark": Markup(svg.variables(svg.DARK)),  # noqa: S704 - our own colours
        "drawing": lambda chart: Markup(chart.inline),  # noqa: S704 - text in it was escaped when it was drawn
    }
    return environment.get_template("page.html.j2").render(content).encode()


def _code(text: object) -> Markup:
    """Text as inline code that no text can leave, also inside a table: a longer fence than any run in it."""
    cleaned = wording.clean(str(text)).replace("|", "\\|")
    fence = "`"
    while fence in cleaned:
        fence += "`"
    padding = " " if cleaned.startswith("`") or cleaned.endswith("`") else ""
    return Markup(f"{fence}{padding}{cleaned}{padding}{fence}")  # noqa: S704 - the fence holds it


def _yaml(text: object) -> Markup:
    """Text as a quoted scalar of the front matter; JSON strings are YAML."""
    return Markup(json.dumps(wording.clean(str(text)), ensure_ascii=False))  # noqa: S704 - quoted
