"""The whole chain: settings and feeds in, stage after stage, a run folder out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from reports import run_folder, wording
from reports.manifest import SCHEMA, Manifest, StageIdentity, environment, files_hash, program
from reports.run_folder import ALL_STAGES, CONFIG, MANIFEST, STAGES, RunWriter, up_to
from risk.artifact import Artifact, readable_json
from risk.calibration import Calibration
from risk.errors import DefectError, SettingsError, UnitError
from risk.market import MarketSnapshot
from risk.outcome import StressResult
from risk.recommendation import Recommendation
from risk.settings import Settings, read_settings
from risk.track_record import TrackRecord
from risk.units import parse_instant

if TYPE_CHECKING:
    from risk.protocols.proposal import EncodedProposal

Observer = Callable[[str, float | None], None]
"""Told (stage, None) when a stage begins and (stage, seconds) when it ended; zero seconds: it was reused."""


def silent(stage: str, seconds: float | None) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Start:
    """What a chain starts from.

    Attributes
    ----------
    config
        Bytes of the settings file, kept in the run folder.
    settings
        The settings, with the seed of the command line where it gives one.
    root
        Folder to which the paths in the settings are relative.
    as_of
        Unix seconds, or None for the last known datum.
    snapshot
        Where given, the feeds are not read again.
    """

    config: bytes
    settings: Settings
    root: Path
    as_of: int | None = None
    snapshot: MarketSnapshot | None = None

    @classmethod
    def from_text(
        cls, config: bytes, root: Path, *, file: str, as_of: str | None = None, seed: int | None = None
    ) -> Start:
        """Start from the text of a settings file; an `as_of` given here wins over the settings'.

        Raises
        ------
        SettingsError
            When the text is not UTF-8 or the settings are wrong.
        UnitError
            When the as-of is no date or time.
        """
        try:
            settings = read_settings(config.decode("utf-8-sig"), file=file)
        except UnicodeDecodeError:
            raise SettingsError("not a text file in UTF-8", file=file) from None
        if seed is not None:
            settings = settings.model_copy(update={"seed": seed})
        text, field, source = (as_of, "--as-of", None) if as_of is not None else (settings.as_of, "as_of", file)
        try:
            instant = None if text is None else parse_instant(text)
        except UnitError as error:
            raise error.at(file=source, field=field) from None
        return cls(config, settings, root, instant)

    @classmethod
    def from_config(cls, path: Path, *, as_of: str | None = None, seed: int | None = None) -> Start:
        """Start from a settings file.

        Raises
        ------
        SettingsError
            When the file cannot be read or the settings are wrong.
        """
        try:
            config = path.read_bytes()
        except OSError as error:
            raise SettingsError(f"cannot be read: {error.strerror}", file=str(path), remedy="Check the path") from None
        return cls.from_text(config, path.parent, file=str(path), as_of=as_of, seed=seed)

    @classmethod
    def from_run(cls, run: Path, *, seed: int | None = None) -> Start:
        """Start from the settings and the snapshot of a finished run, with its seed unless another is given.

        Raises
        ------
        ArtifactError
            When the run is foreign, unfinished or edited.
        """
        manifest = run_folder.read_manifest(run)
        config = run_folder.read_file(run, manifest, CONFIG)
        seed = manifest.seed if seed is None else seed
        start = cls.from_text(config, run, file=str(run / CONFIG), seed=seed)
        return cls(config, start.settings, run, manifest.as_of, run_folder.load_snapshot(run))


@dataclass(slots=True)
class Chain:
    """The stages of a chain; an artifact is there once its stage was made or loaded.

    Attributes
    ----------
    settings
        What the chain is told.
    files
        Bytes by file name of each stage that was made here.
    identities
        Content hash and inputs of each stage.
    seconds
        Wall-clock seconds of each stage that was made here.
    snapshot, calibration, track_record, recommendation, stress, encoded
        The artifacts.
    """

    settings: Settings
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    identities: dict[str, StageIdentity] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    snapshot: MarketSnapshot = field(init=False)
    calibration: Calibration = field(init=False)
    track_record: TrackRecord = field(init=False)
    recommendation: Recommendation = field(init=False)
    stress: StressResult = field(init=False)
    encoded: EncodedProposal = field(init=False)

    def keep(self, stage: str, artifact: Artifact, extra: Mapping[str, bytes] | None = None) -> None:
        """Keep the files and the identity of a stage that has an artifact."""
        self.files[stage] = {**artifact.to_files(), **(extra or {})}
        self.identities[stage] = StageIdentity(content_hash=artifact.content_hash, inputs=dict(artifact.inputs))

    def identity(self) -> dict[str, str]:
        """What a proposal says of where it comes from: seed, as-of, settings and stage hashes."""
        hashes = {stage: identity.content_hash for stage, identity in self.identities.items() if stage != "proposal"}
        return {
            "seed": str(self.settings.seed),
            "as_of": wording.instant(self.snapshot.as_of),
            "settings": self.settings.hash_of(),
            **hashes,
        }


def run_chain(
    start: Start, out: Path, *, until: str = "proposal", workers: int = 1, observer: Observer = silent
) -> Chain:
    """Run the chain up to a stage and leave a finished run folder.

    Stages of an earlier run in the folder are kept, and loaded instead of made, as far as program, settings, seed
    and snapshot are the same; the rest is replaced.

    Parameters
    ----------
    start
        Settings and feeds.
    out
        The run folder.
    until
        The last stage, one of `ALL_STAGES`.
    workers
        Processes that calibrate; the bytes do not depend on it.
    observer
        Told about each stage.

    Raises
    ------
    InputError
        When the folder is not a run's or cannot be written, and for wrong settings or data.
    """
    wanted = up_to(until)
    with run_folder.writing(out) as writer, _executor(workers) as executor:
        chain = Chain(start.settings)
        _make(chain, "snapshot", start, executor, observer)
        earlier = _earlier(out, chain)
        kept = dict(earlier.stages) if earlier is not None else {}
        if earlier is not None:
            for stage in wanted[1:]:
                if stage in kept:
                    _load(chain, stage, out, earlier)
                    observer(stage, 0.0)
        if not set(wanted) <= set(kept):
            writer.begin(start.config, keep=tuple(kept))
            for stage in wanted:
                if stage in kept:
                    continue
                if stage not in chain.files:
                    _make(chain, stage, start, executor, observer)
                writer.put_stage(stage, chain.files[stage])
            _finish(writer, chain, kept, workers)
    return chain


def recompute(
    start: Start,
    *,
    until: str = "proposal",
    branches: Sequence[str] = (),
    workers: int = 1,
    observer: Observer = silent,
) -> Chain:
    """Make every stage up to one, and branches, in memory: no folder is read or written, nothing earlier is used."""
    chain = Chain(start.settings)
    with _executor(workers) as executor:
        for stage in (*up_to(until), *branches):
            _make(chain, stage, start, executor, observer)
    return chain


def _make(chain: Chain, stage: str, start: Start, executor: Executor | None, observer: Observer) -> None:
    observer(stage, None)
    begun = perf_counter()
    _MAKERS[stage](chain, start, executor)
    chain.seconds[stage] = perf_counter() - begun
    observer(stage, chain.seconds[stage])


def _make_snapshot(chain: Chain, start: Start, _: Executor | None) -> None:
    if start.snapshot is not None:
        chain.snapshot = start.snapshot
    else:
        from oracle_adapters.snapshot import build_snapshot

        chain.snapshot = build_snapshot(start.settings, root=start.root, as_of=start.as_of)
    chain.keep("snapshot", chain.snapshot.artifact())


def _make_calibration(chain: Chain, _: Start, executor: Executor | None) -> None:
    from reports.calibration_report import markdown
    from risk.pipeline import calibrate

    chain.calibration = calibrate(chain.snapshot, chain.settings, executor=executor)
    chain.keep("calibration", chain.calibration.artifact(), {"calibration.md": markdown(chain.calibration).encode()})


def _make_backtest(chain: Chain, _: Start, executor: Executor | None) -> None:
    from reports.track_record import markdown
    from risk.pipeline import backtest

    chain.track_record = backtest(chain.snapshot, chain.settings, executor=executor)
    chain.keep("backtest", chain.track_record.artifact(), {"track-record.md": markdown(chain.track_record).encode()})


def _make_recommendation(chain: Chain, _: Start, executor: Executor | None) -> None:
    from risk.pipeline import recommend

    chain.recommendation = recommend(chain.snapshot, chain.calibration, chain.settings, executor=executor)
    derivations = [derivation.document() for derivation in chain.recommendation.derivations]
    extra = {
        "target.toml": chain.recommendation.target.to_toml().encode(),
        "next.toml": chain.recommendation.next_step.to_toml().encode(),
        "derivations.json": readable_json(derivations).encode(),
    }
    chain.keep("recommendation", chain.recommendation.artifact(), extra)


def _make_stress(chain: Chain, _: Start, __: Executor | None) -> None:
    from risk.pipeline import stress

    sets = {
        "in_force": chain.snapshot.in_force,
        "target": chain.recommendation.target,
        "next_step": chain.recommendation.next_step,
    }
    chain.stress = stress(chain.snapshot, chain.calibration, chain.settings, sets)
    chain.keep("stress", chain.stress.artifact())


def _make_proposal(chain: Chain, _: Start, __: Executor | None) -> None:
    from reports.page import build_proposal
    from risk.pipeline import encode

    chain.encoded = encode(chain.snapshot, chain.recommendation, chain.settings)
    files = build_proposal(
        chain.snapshot, chain.calibration, chain.recommendation, chain.stress, chain.encoded, chain.settings,
        chain.identity(),
    )  # fmt: skip
    chain.files["proposal"] = files
    inputs = {stage: chain.identities[stage].content_hash for stage in STAGES[:-1]}
    chain.identities["proposal"] = StageIdentity(content_hash=files_hash(files), inputs=inputs)


_MAKERS: Mapping[str, Callable[[Chain, Start, Executor | None], None]] = {
    "snapshot": _make_snapshot,
    "calibration": _make_calibration,
    "backtest": _make_backtest,
    "recommendation": _make_recommendation,
    "stress": _make_stress,
    "proposal": _make_proposal,
}


def _earlier(out: Path, chain: Chain) -> Manifest | None:
    """The finished run in the folder, when its stages may be kept."""
    if not (out / MANIFEST).is_file():
        return None
    manifest = run_folder.read_manifest(out)
    snapshot = manifest.stages.get("snapshot")
    same = (
        manifest.program == program()
        and manifest.settings_hash == chain.settings.hash_of()
        and snapshot is not None
        and snapshot.content_hash == chain.identities["snapshot"].content_hash
    )
    return manifest if same else None


def _load(chain: Chain, stage: str, run: Path, manifest: Manifest) -> None:
    """Load a stage of the earlier run instead of making it."""
    if stage == "calibration":
        chain.calibration = run_folder.load_calibration(run)
    elif stage == "backtest":
        chain.track_record = run_folder.load_track_record(run)
    elif stage == "recommendation":
        chain.recommendation = run_folder.load_recommendation(run)
    elif stage == "stress":
        chain.stress = run_folder.load_stress(run)
    else:
        run_folder.load_files(run, stage, manifest)
    chain.identities[stage] = manifest.stages[stage]


def _finish(writer: RunWriter, chain: Chain, kept: Mapping[str, StageIdentity], workers: int) -> None:
    """Write the manifest, of stages made or loaded here and of others that an earlier run left."""
    known = {**kept, **chain.identities}
    stages = {stage: known[stage] for stage in ALL_STAGES if stage in known}
    manifest = Manifest(
        schema=SCHEMA,
        program=program(),
        seed=chain.settings.seed,
        as_of=chain.snapshot.as_of,
        settings_hash=chain.settings.hash_of(),
        stages=stages,
        files=writer.hashes(),
    )
    writer.finish(manifest, environment(workers=workers, seconds=chain.seconds))


@contextmanager
def _executor(workers: int) -> Iterator[Executor | None]:
    """Processes for the tasks of a stage; None for one worker."""
    if workers == 1:
        yield None
        return
    import multiprocessing
    import signal
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    executor = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
    try:
        # Workers are born with interrupts blocked, which they inherit: an interrupt is this process's to handle.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        for _ in range(workers):
            executor.submit(_begin)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        yield executor
    except BrokenProcessPool as error:
        raise DefectError(
            "a worker process ended abruptly", remedy="It may have run out of memory: try --workers 1"
        ) from error
    finally:
        # Tasks that run are waited for: ending a worker while its queue is being filled can block for ever.
        executor.shutdown(cancel_futures=True)


def _begin() -> None:
    """Make a worker start."""
