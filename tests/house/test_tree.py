"""What the tracked files may not say: where they were made, or where packages come from."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# The needles are put together here, so that this file does not contain them.
HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("crates", "io"),
        ("anaconda", "org"),
        ("deb", "debian", "org"),
        ("security", "debian", "org"),
        ("proxy", "golang", "org"),
        ("rubygems", "org"),
    )
)
FOLDERS = tuple(f"/{name}/" for name in ("work", "root", "home", "Users", "mnt", "tmp/bash_jobs", "private/var"))
DRIVE = r"\b[A-Z]:\\(?:Users|Program)"
FORBIDDEN = re.compile("|".join([*(r"(?<![\w.~-])" + re.escape(f) for f in FOLDERS), *map(re.escape, HOSTS), DRIVE]))


def tracked_files() -> list[Path]:
    """Files under version control, or a skip outside a git checkout."""
    try:
        listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [path for name in listing.decode().split("\0") if name and (path := ROOT / name).is_file()]


def occurrences(text: str) -> list[str]:
    """Lines of a text that say something forbidden."""
    return [f"{n}: {line.strip()[:120]}" for n, line in enumerate(text.splitlines(), 1) if FORBIDDEN.search(line)]


def test_no_absolute_path_and_no_package_host() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in tracked_files()
        if b"\0" not in (content := path.read_bytes())
        for line in occurrences(content.decode("utf-8", errors="replace"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("needle", [*FOLDERS, *HOSTS])
def test_the_search_finds_each_needle(needle: str) -> None:
    assert occurrences(f'path = "{needle}x"')


@pytest.mark.parametrize("harmless", ["a/work/b", "https://aave.com/homepage", "frame/root/x", "docs.python.org"])
def test_the_search_leaves_the_harmless(harmless: str) -> None:
    assert not occurrences(harmless)


def test_no_tracked_file_is_large() -> None:
    """Data stays outside the tree; a generated sample is small."""
    large = {str(p.relative_to(ROOT)): p.stat().st_size for p in tracked_files() if p.stat().st_size > 1_000_000}
    assert not large
