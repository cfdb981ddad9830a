"""The page in a real browser: no error, nothing beside the box, nothing cut on paper."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.reports.artifacts import make_proposal

pytestmark = pytest.mark.browser

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--enable-logging=stderr",
)  # fmt: skip

PROBE = """<!doctype html><meta charset="utf-8"><title>probe</title><iframe id="f" width="{width}" height="900"
 style="border:0" src="index.html{fragment}"></iframe><pre id="out"></pre><script>
const frame = document.getElementById("f");
frame.addEventListener("load", () => setTimeout(() => {{
  const page = frame.contentDocument, root = page.documentElement, found = {{}};
  found.inner = frame.contentWindow.innerWidth;
  found.scroll = root.scrollWidth;
  found.charts = [...page.querySelectorAll("figure svg")].filter(s => s.getBoundingClientRect().width > 200).length;
  found.figures = page.querySelectorAll("figure").length;
  found.open = [...page.querySelectorAll("details[open] > div")].map(d => d.id);
  found.outside = [...page.querySelectorAll("body *")].filter(e => !e.closest(".box, .skip, .hide, svg, nav") &&
    e.getBoundingClientRect().width > 0 && e.getBoundingClientRect().right > found.inner + 1).map(e => e.outerHTML.slice(0, 80));
  found.cut = [...page.querySelectorAll("table.compact :is(th, td)")].filter(e =>
    e.getBoundingClientRect().right > found.inner + 1 || e.scrollWidth > e.clientWidth + 1).map(e => e.outerHTML.slice(0, 80));
  found.unlabelled = [...page.querySelectorAll("svg, .box")].filter(e =>
    !e.getAttribute("aria-label") && !e.getAttribute("aria-labelledby")).length;
  found.ink = frame.contentWindow.getComputedStyle(root).color;
  document.getElementById("out").textContent = JSON.stringify(found);
}}, 200));
</script>"""  # noqa: E501


@pytest.fixture(scope="module")
def chromium(require: Callable[[str, str], NoReturn]) -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        require("browser", "there is no chromium on the path")
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The proposal's folder, and the loopback address that serves it."""
    folder = tmp_path_factory.mktemp("site")
    for name, data in make_proposal().items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def _run(chromium: str, profile: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [chromium, *FLAGS, f"--user-data-dir={profile}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def _probe(
    chromium: str, site: tuple[Path, str], profile: Path, *flags: str, width: int, fragment: str = ""
) -> dict[str, Any]:
    folder, address = site
    (folder / "probe.html").write_text(PROBE.format(width=width, fragment=fragment))
    size = f"--window-size={width + 40},1000"
    done = _run(chromium, profile, size, *flags, "--virtual-time-budget=8000", "--dump-dom", f"{address}/probe.html")
    # A browser asks every site for an icon; the page itself has none.
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line and "favicon" not in line]
    assert not console
    out = re.search(r'<pre id="out">(.*?)</pre>', done.stdout, re.DOTALL)
    assert out is not None
    found: dict[str, Any] = json.loads(unescape(out[1]))
    return found


@pytest.mark.parametrize("width", [360, 400, 1280])
def test_the_page_fits_and_shows_its_charts(chromium: str, site: tuple[Path, str], tmp_path: Path, width: int) -> None:
    found = _probe(chromium, site, tmp_path, width=width)
    assert found["cut"] == []
    assert found["inner"] == width
    assert found["scroll"] <= found["inner"]
    assert not found["outside"]
    assert found["charts"] == found["figures"] > 10
    assert found["unlabelled"] == 0
    assert not found["open"]


def test_a_number_leads_to_its_open_derivation(chromium: str, site: tuple[Path, str], tmp_path: Path) -> None:
    key = "how/lending/reserve/WETH/liquidation_threshold"
    assert _probe(chromium, site, tmp_path, width=1280, fragment=f"#{key}")["open"] == [key]


def test_the_page_follows_the_theme(chromium: str, site: tuple[Path, str], tmp_path: Path) -> None:
    inks = [
        _probe(chromium, site, tmp_path / str(theme), f"--blink-settings=preferredColorScheme={theme}", width=1280)[
            "ink"
        ]
        for theme in (0, 1)
    ]
    assert inks == ["rgb(233, 234, 237)", "rgb(25, 28, 34)"]


def test_paper_has_what_the_screen_folds(chromium: str, site: tuple[Path, str], tmp_path: Path) -> None:
    reader = shutil.which("pdftotext")
    if reader is None:
        pytest.skip("there is no pdftotext on the path")
    target = tmp_path / "page.pdf"
    _run(chromium, tmp_path / "profile", f"--print-to-pdf={target}", "--no-pdf-header-footer", f"{site[1]}/index.html")
    text = subprocess.run([reader, "-layout", str(target), "-"], capture_output=True, text=True, check=True).stdout
    assert text.count("round down to steps of") == 9
    assert "0xE1E1E1e1E1E1e1e1E1E1E1e1e1e1E1E1E1E1e1e1" in text.replace("\n", "")
