"""The store against kills, full disks, damaged parts and writers at the same time: real processes, real files."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oracle_adapters import parts
from oracle_adapters.feed import FOREVER, MemoryFeed
from oracle_adapters.fetching import Status, fetch_one
from oracle_adapters.store import Store
from risk.errors import DataError
from tests.oracle_adapters.test_store import SPEC, bars

ROOT = Path(__file__).parents[2]
HEAD = """
import os, resource, signal, sys
from pathlib import Path
from oracle_adapters import fetching, parts
from oracle_adapters.feed import MemoryFeed
from oracle_adapters.store import Store
from tests.oracle_adapters.test_store import SPEC, bars
"""
FETCH = """
fetching.STEP = 10
store = Store(Path(sys.argv[1]))
feed = MemoryFeed(SPEC, bars(1, 60), chunk_rows=10)
"""


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    listed = [sys.executable, "-c", HEAD + program, *map(str, arguments)]
    return subprocess.run(listed, check=False, cwd=ROOT, capture_output=True, text=True)


KILLED_AT = """
events = []
def killing(name, original):
    def hooked(*arguments, **named):
        events.append(name)
        if len(events) == int(sys.argv[2]):
            print(name, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **named)
    return hooked
parts.os.fsync = killing("flush", os.fsync)
parts.Path.replace = killing("rename", Path.replace)
parts.quoted = killing("write", parts.quoted)
fetching.fetch_one(store, feed)
print(len(events))
"""


@pytest.mark.parametrize("event", [1, 2, 3, 5, 6, 7, 8, 10])
def test_a_kill_at_any_step_of_a_write_costs_nothing_but_time(tmp_path: Path, event: int) -> None:
    """Of the description (flush, rename, flush, flush) and of each part (write, flush, rename, flush)."""
    done = run(FETCH + KILLED_AT, tmp_path / "store", event)
    assert done.returncode == -9, done.stderr
    store = Store(tmp_path / "store")
    held = store.read(SPEC)
    assert held.digest() == bars(1, 1 + len(held)).digest(), "what is held is whole, and the beginning"
    store.verify(SPEC)
    done = run(FETCH + "print(fetching.fetch_one(store, feed).status)", tmp_path / "store")
    assert done.stdout == "good\n", done.stderr
    assert store.content_hash(SPEC) == bars(1, 60).digest()
    assert not list(tmp_path.rglob("*.tmp")), "what a killed writer left is swept"


def test_a_kill_while_bytes_are_written_leaves_no_part(tmp_path: Path) -> None:
    """The other process is killed when it has begun to write a large part, at no step of its own."""
    store = Store(tmp_path)
    store.append(SPEC, bars(1, 5))
    place = store.part_files(SPEC)[0].parent
    program = HEAD + "Store(Path(sys.argv[1])).append(SPEC, bars(5, 400_000))"
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT) as writer:
        while not (place / "part.tmp").exists() and writer.poll() is None:
            time.sleep(0.0005)
        writer.kill()
    assert writer.returncode == -9, "it was killed before it had ended"
    assert (place / "part.tmp").exists() is (len(store.part_files(SPEC)) == 1)
    assert store.read(SPEC, stop=300).digest() == bars(1, 5).digest()
    store.append(SPEC, bars(5, 9))
    assert not (place / "part.tmp").exists()
    assert store.read(SPEC, stop=540).digest() == bars(1, 9).digest()


def test_a_disk_without_room_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    """The limit on a file's size stands for the end of the disk: DuckDB's own write is what fails."""
    Store(tmp_path).append(SPEC, bars(1, 5))
    before = sorted(tmp_path.rglob("*"))
    program = """
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
found = fetching.fetch_one(Store(Path(sys.argv[1])), MemoryFeed(SPEC, bars(1, 50_000)))
print(found.status, found.added, found.error.exit_code, found.error)
"""
    done = run(program, tmp_path)
    assert done.stdout.startswith("refused 0 2 "), done.stdout + done.stderr
    assert "the store cannot be written: " in done.stdout
    assert "what it held is still whole" in done.stdout
    assert sorted(tmp_path.rglob("*")) == before
    assert Store(tmp_path).read(SPEC).digest() == bars(1, 5).digest()
    assert Store(tmp_path).append(SPEC, bars(5, 9)) == 4
    assert fetch_one(Store(tmp_path), MemoryFeed(SPEC, bars(1, 50_000))).status is Status.GOOD
    assert Store(tmp_path).content_hash(SPEC) == bars(1, 50_000).digest()


FILLED = """
fetching.STEP = 10
for number, pages in enumerate(map(int, sys.argv[2:])):
    place = Path(sys.argv[1]) / str(number)
    place.mkdir()
    filler = Path(sys.argv[1]) / "filler"
    free = os.statvfs(place).f_bavail
    filler.write_bytes(bytes(4096 * (free - pages)))
    store, feed = Store(place / "store"), MemoryFeed(SPEC, bars(1, 61), chunk_rows=10)
    full = fetching.fetch_one(store, feed)
    held = store.read(SPEC)
    whole = held.digest() == bars(1, 1 + len(held)).digest() and not list(place.rglob("*.tmp"))
    store.verify(SPEC)
    filler.unlink()
    again = fetching.fetch_one(store, feed)
    same = store.content_hash(SPEC) == bars(1, 61).digest()
    print(full.status, full.added, len(held), whole, again.status, same, full.error, sep="|")
"""


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """A small file system of its own with so many free pages: the store stays whole, and a later fetch mends it."""
    alone = ["unshare", "--map-root-user", "--mount"]
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    if shutil.which("unshare") is None or subprocess.run([*alone, *mount], check=False, capture_output=True).returncode:
        pytest.skip("this system lets nobody mount a file system of his own; the limit on a file's size is tested")
    pages = [0, 1, 2, 3, 4, 6, 40]
    python = [sys.executable, "-c", HEAD + FILLED, str(tmp_path), *map(str, pages)]
    done = subprocess.run(
        [*alone, "sh", "-c", f"{shlex.join(mount)} && exec {shlex.join(python)}"],
        check=False, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line.split("|") for line in done.stdout.splitlines()]
    assert len(lines) == len(pages)
    for status, added, held, whole, again, same, error in lines[:-1]:
        assert (status, whole, again, same) == ("refused", "True", "good", "True"), done.stdout
        assert added == held, "what was kept is there"
        assert "the store cannot be written: " in error
        assert "Make room; what it held is still whole" in error
    assert any("No space left on device" in line[-1] for line in lines)
    assert any(0 < int(line[1]) < 60 for line in lines[:-1]), "some disks filled up halfway"
    assert lines[-1] == ["good", "60", "60", "True", "good", "True", "None"]
    assert not any(tmp_path.iterdir()), "nothing was mounted here"


def test_what_a_killed_writer_left_is_never_read_and_swept_by_the_next_writer(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append(SPEC, bars(1, 5))
    stale = store.part_files(SPEC)[0].with_name("part.tmp")
    stale.write_bytes(b"half a part")
    assert store.read(SPEC).digest() == bars(1, 5).digest()
    assert stale.exists(), "a reader removes nothing: the writer may be alive"
    assert store.append(SPEC, bars(1, 5)) == 0
    assert not stale.exists()


@pytest.mark.parametrize("step", ["fsync", "open"])
def test_what_the_system_refuses_is_said_in_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    store = Store(tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(parts.os, step, refuse)
        with pytest.raises(DataError, match="the store cannot be written: No space left on device"):
            store.append(SPEC, bars(1, 5))
    assert not list(tmp_path.rglob("*.parquet")) + list(tmp_path.rglob("*.tmp"))
    assert store.append(SPEC, bars(1, 5)) == 4


def test_two_processes_at_once_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    program = HEAD + (
        "for first in range(int(sys.argv[2]), 60, 5): Store(Path(sys.argv[1])).append(SPEC, bars(first, first + 9))"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(first)], cwd=ROOT) for first in (1, 3)
    ]
    assert [one.wait() for one in running] == [0, 0]
    store = Store(tmp_path)
    assert store.read(SPEC).digest() == bars(1, 67).digest()
    assert store.count(SPEC) == 66, "no row is written twice"
    assert not list(tmp_path.rglob("*.tmp"))


def test_writers_that_disagree_are_told_so_and_the_store_stays_readable(tmp_path: Path) -> None:
    """Without the lock both could write, and nobody could read any more."""
    program = (
        HEAD
        + """
from risk.artifact import Table
rows = bars(1, 9)
try:
    Store(Path(sys.argv[1])).append(SPEC, Table({**rows.columns, "value": rows["value"] + int(sys.argv[2])}))
except Exception as error:
    print(type(error).__name__)
"""
    )
    listed = [[sys.executable, "-c", program, str(tmp_path), str(i)] for i in range(2)]
    running = [subprocess.Popen(one, cwd=ROOT, stdout=subprocess.PIPE, text=True) for one in listed]
    said = sorted(one.communicate()[0] for one in running)
    assert said == ["", "DataError\n"]
    assert len(Store(tmp_path).read(SPEC)) == 8


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_a_damaged_part_is_named(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    store.append(SPEC, bars(1, 500))
    store.append(SPEC, bars(500, 999))
    part = store.part_files(SPEC)[1]
    data = bytearray(part.read_bytes())
    if damage == "cut":
        part.write_bytes(data[:-100])
    elif damage == "flipped":
        data[len(data) // 3] ^= 1
        part.write_bytes(data)
    else:
        part.unlink()
        part.symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match="a part of the store is damaged") as caught:
        store.verify(SPEC)
    assert (caught.value.file, caught.value.field) == (str(part), SPEC.id)
    if damage != "flipped":  # a flipped bit may still be Parquet: this is what `verify` is for
        with pytest.raises(DataError, match="a part of the store is damaged") as caught:
            store.read(SPEC)
        assert caught.value.file == str(part)
    assert len(store.read(SPEC, stop=500 * 60)) == 499, "the other parts can still be read"


def test_a_file_that_is_no_part_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append(SPEC, bars(1, 5))
    stray = store.part_files(SPEC)[0].with_name("copy of.parquet")
    stray.write_bytes(b"")
    with pytest.raises(DataError, match="not a part of a store") as caught:
        store.read(SPEC)
    assert caught.value.file == str(stray)


def test_a_damaged_description_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append(SPEC, bars(1, 5))
    path = next(tmp_path.rglob("feed.json"))
    for content in (b"{", b"[]", b'{"kind": "price"}', b'{"kind": "nonsense"}'):
        path.write_bytes(content)
        with pytest.raises(DataError, match="the description of a feed is damaged") as caught:
            store.specs()
        assert caught.value.file == str(path)


def test_what_a_crash_left_of_the_description_is_not_in_the_way(tmp_path: Path) -> None:
    """A kill between a feed's first two writes: the part is written, and found, by the next fetch."""
    store = Store(tmp_path)
    store.append(SPEC, bars(1, 5))
    for part in store.part_files(SPEC):
        part.unlink()
    assert store.specs() == (SPEC,)
    assert len(store.read(SPEC)) == 0
    assert store.last_known(SPEC) is None
    assert (store.resume_at(SPEC), store.count(SPEC, 0, FOREVER)) == (0, 0)
    assert fetch_one(store, MemoryFeed(SPEC, bars(1, 5))).status is Status.GOOD
