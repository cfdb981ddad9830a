"""The run folder: stages written aside and renamed in whole, the manifest last, everything re-hashed on load.

::

    RUN/ config.toml  snapshot/  calibration/  recommendation/  stress/  proposal/  environment.json  manifest.json
         backtest/

A folder whose first writing is under way, or was cut short, holds the marker ``.incomplete`` and no manifest. Over
a finished run, all that changes is written aside in the folder and swapped in when it is whole: until then the
finished run stands. What is whole but was not swapped in to the end is swapped in by the next writer.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, Self, TypeVar

from reports.manifest import Manifest, file_hash
from risk.artifact import Artifact
from risk.calibration import Calibration
from risk.errors import ArtifactError, InputError, RiskcalError
from risk.market import MarketSnapshot
from risk.outcome import StressResult
from risk.recommendation import Recommendation
from risk.track_record import TrackRecord

STAGES = ("snapshot", "calibration", "recommendation", "stress", "proposal")
"""In the order in which they are made; each is made from those before it."""
BRANCHES = {"backtest": ("snapshot",)}
"""Stages that nothing is made from, with what they are made from themselves."""
ALL_STAGES = (*STAGES, *BRANCHES)
CONFIG, MANIFEST, ENVIRONMENT = "config.toml", "manifest.json", "environment.json"
_MARKER = ".incomplete"
_ASIDE = ".writing-"
_NEXT, _WHOLE = f"{_ASIDE}next", ".whole"
"""What is to replace a finished run: while it is being written, and once nothing is missing."""
_REMEDY = "Make the run again in a new folder"


class _Loadable(Protocol):
    SCHEMA: str

    @classmethod
    def from_artifact(cls, artifact: Artifact, /) -> Self: ...


_T = TypeVar("_T", bound=_Loadable)


# ---- reading -------------------------------------------------------------------------------------------------


def read_manifest(run: Path) -> Manifest:
    """The identity of a finished run.

    Raises
    ------
    ArtifactError
        When the folder is no run folder, or its run was not finished.
    """
    file = run / MANIFEST
    if not file.is_file():
        unfinished = (run / _MARKER).exists()
        message = "the run was not finished" if unfinished else "not a run folder"
        raise ArtifactError(f"{message}: there is no {MANIFEST}", file=str(run), remedy="Make the run again")
    return Manifest.from_bytes(_read(file), file=str(file))


def read_file(run: Path, manifest: Manifest, name: str) -> bytes:
    """One file of a run, verified against the manifest.

    Raises
    ------
    ArtifactError
        When it is missing or was changed; names the file.
    """
    file = run / name
    if not file.is_file():
        raise ArtifactError("a file of the run is missing", file=str(file), remedy=_REMEDY)
    data = _read(file)
    if file_hash(data) != manifest.files.get(name):
        raise ArtifactError(
            "the file does not match the manifest, so it was edited or damaged", file=str(file), remedy=_REMEDY
        )
    return data


def load_files(run: Path, stage: str, manifest: Manifest | None = None) -> dict[str, bytes]:
    """Every file of a stage by its name in the stage's folder, verified against the manifest.

    Raises
    ------
    ArtifactError
        When the stage is not part of the run, or a file is missing, changed or not the run's own.
    """
    manifest = manifest or read_manifest(run)
    if stage not in manifest.stages:
        made = ", ".join(name for name in ALL_STAGES if name in manifest.stages)
        raise ArtifactError(f"the run holds no {stage}, only {made}", file=str(run), remedy=f"Run the {stage} first")
    head = f"{stage}/"
    listed = sorted(name for name in manifest.files if name.startswith(head))
    present = {path.relative_to(run).as_posix() for path in (run / stage).rglob("*") if path.is_file()}
    if foreign := sorted(present - set(listed)):
        raise ArtifactError("a file that the run did not write", file=str(run / foreign[0]), remedy="Remove it")
    return {name.removeprefix(head): read_file(run, manifest, name) for name in listed}


def load_snapshot(run: Path) -> MarketSnapshot:
    """The market snapshot of a run; re-hashed, see `load_files` for the errors."""
    return _load(run, "snapshot", MarketSnapshot)


def load_calibration(run: Path) -> Calibration:
    """The calibration of a run; re-hashed, see `load_files` for the errors."""
    return _load(run, "calibration", Calibration)


def load_recommendation(run: Path) -> Recommendation:
    """The recommendation of a run; re-hashed, see `load_files` for the errors."""
    return _load(run, "recommendation", Recommendation)


def load_stress(run: Path) -> StressResult:
    """The stress result of a run; re-hashed, see `load_files` for the errors."""
    return _load(run, "stress", StressResult)


def load_track_record(run: Path) -> TrackRecord:
    """The track record of a run; re-hashed, see `load_files` for the errors."""
    return _load(run, "backtest", TrackRecord)


def up_to(stage: str) -> tuple[str, ...]:
    """A stage and those it is made from, in the order in which they are made."""
    return (*BRANCHES[stage], stage) if stage in BRANCHES else STAGES[: STAGES.index(stage) + 1]


def _load(run: Path, stage: str, kind: type[_T]) -> _T:
    manifest = read_manifest(run)
    artifact = Artifact.from_files(load_files(run, stage, manifest), schema=kind.SCHEMA, folder=str(run / stage))
    if artifact.content_hash != manifest.stages[stage].content_hash:
        raise ArtifactError("the stage is not the manifest's", file=str(run / stage), remedy=_REMEDY)
    try:
        return kind.from_artifact(artifact)
    except RiskcalError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError("the stage cannot be read", file=str(run / stage), remedy=_REMEDY) from error


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot be read: {error.strerror}", file=str(file)) from error


# ---- writing -------------------------------------------------------------------------------------------------


class RunWriter:
    """A run folder that this process alone writes; made by `writing`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._root = path
        self._kept: frozenset[str] = frozenset()

    def begin(self, config: bytes, *, keep: Iterable[str] = ()) -> None:
        """Settle which stages of a finished run are kept, and write the settings.

        A finished run stays as it is until `finish`; without one, the folder says of itself that it is incomplete.
        """
        with _naming(self.path):
            if (self.path / MANIFEST).is_file():
                self._root, self._kept = self.path / _NEXT, frozenset(keep)
                self._root.mkdir()
            else:
                (self.path / _MARKER).touch()
                (self.path / ENVIRONMENT).unlink(missing_ok=True)
                for stage in ALL_STAGES:
                    _remove(self.path / stage)
        self._put_file(CONFIG, config)

    def put_stage(self, stage: str, files: Mapping[str, bytes]) -> None:
        """Write a stage aside and rename it in whole.

        Raises
        ------
        InputError
            When the folder cannot be written; names the path.
        """
        aside = self._root / f"{_ASIDE}{stage}"
        with _naming(self.path / stage):
            try:
                aside.mkdir()
                for name, data in files.items():
                    (aside / name).parent.mkdir(parents=True, exist_ok=True)
                    (aside / name).write_bytes(data)
                aside.rename(self._root / stage)
            except BaseException:
                shutil.rmtree(aside, ignore_errors=True)
                raise

    def finish(self, manifest: Manifest, environment: bytes) -> None:
        """Write the environment, then the manifest last; a finished run is replaced only now."""
        self._put_file(ENVIRONMENT, environment)
        self._put_file(MANIFEST, manifest.to_bytes())
        with _naming(self.path):
            if self._root != self.path:
                with _uninterrupted():
                    self._root.rename(self.path / _WHOLE)
                    _swap_in(self.path)
            else:
                (self.path / _MARKER).unlink()

    def hashes(self) -> dict[str, str]:
        """SHA-256 of the settings and of every file of every stage, by name."""
        found = {CONFIG: file_hash((self._root / CONFIG).read_bytes())}
        for stage in ALL_STAGES:
            root = self.path if stage in self._kept else self._root
            for file in (root / stage).rglob("*"):
                if file.is_file():
                    found[file.relative_to(root).as_posix()] = file_hash(file.read_bytes())
        return dict(sorted(found.items()))

    def _put_file(self, name: str, data: bytes) -> None:
        aside = self._root / f"{_ASIDE}{name}"
        with _naming(self.path / name):
            try:
                aside.write_bytes(data)
                aside.replace(self._root / name)
            except BaseException:
                aside.unlink(missing_ok=True)
                raise


def _swap_in(path: Path) -> None:
    """Put what is whole in the place of what it replaces; can be taken up again wherever it was cut short."""
    whole = path / _WHOLE
    if (whole / MANIFEST).is_file():
        stages = read_manifest(whole).stages
        (path / _MARKER).touch()
        (path / MANIFEST).unlink(missing_ok=True)
        for stage in ALL_STAGES:
            if (whole / stage).exists():
                _remove(path / stage)
                (whole / stage).rename(path / stage)
            elif stage not in stages:
                _remove(path / stage)
        for name in (CONFIG, ENVIRONMENT, MANIFEST):
            if (whole / name).exists():
                (whole / name).replace(path / name)
    whole.rmdir()
    (path / _MARKER).unlink(missing_ok=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """An interrupt waits until this is done: it takes milliseconds."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


@contextmanager
def writing(path: Path) -> Iterator[RunWriter]:
    """Open a run folder, or make a new one, for this process alone.

    Raises
    ------
    InputError
        When the path is a file, holds something else than a run, is being written by another process or
        cannot be written.
    """
    fresh, made = _claim(path)
    lock = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError("another process is writing this run", file=str(path), remedy="Wait for it") from None
        with _naming(path):
            _sweep(path)
            (path / f"{_ASIDE}probe").touch()
            (path / f"{_ASIDE}probe").unlink()
        yield RunWriter(path)
    except BaseException:
        shutil.rmtree(path / _NEXT, ignore_errors=True)
        if fresh:
            _undo(path, made)
        raise
    finally:
        os.close(lock)


def _claim(path: Path) -> tuple[bool, list[Path]]:
    """Make the folder, or refuse one that is not a run's.

    Returns whether it holds nothing yet, and the folders that were made, innermost first.
    """
    with _naming(path):
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        entries = list(path.iterdir())
    if entries and not any((path / name).is_file() for name in (MANIFEST, _MARKER)):
        raise InputError(
            "the folder is not empty and is not a run folder", file=str(path), remedy="Name another folder with --out"
        )
    if (path / MANIFEST).is_file():
        try:
            read_manifest(path)
        except ArtifactError as error:
            error.remedy = "Name another folder with --out"
            raise
    return not entries, missing


def _sweep(path: Path) -> None:
    """Take over what a process that was killed left whole, and remove what it left half-written."""
    if (path / _WHOLE).is_dir():
        _swap_in(path)
    for left in path.glob(f"{_ASIDE}*"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def _undo(path: Path, made: Iterable[Path]) -> None:
    """After a failure before the first stage, leave no trace."""
    if any((path / stage).exists() for stage in ALL_STAGES):
        return
    for name in (_MARKER, CONFIG):
        (path / name).unlink(missing_ok=True)
    for folder in made:
        folder.rmdir()


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn a failure to write into bad input that names the path."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror or error}",
            file=str(path),
            remedy="Name a folder with --out that you may write, on a disk with room",
        ) from error
