"""The run folder: whole stages or none, a manifest last, nothing foreign touched, every byte verified."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from reports import run_folder
from reports.manifest import SCHEMA, Manifest, StageIdentity, environment, file_hash, program
from risk.artifact import Artifact, Table
from risk.errors import ArtifactError, InputError
from tests.factories import AS_OF, make_calibration, make_settings, make_snapshot


def write_run(path: Path, *, until: str = "calibration", config: bytes = b"seed = 7\n") -> Manifest:
    """A finished run of the synthetic market, made with the writer alone."""
    snapshot = make_snapshot(n_bars=120)
    artifacts: dict[str, Artifact] = {"snapshot": snapshot.artifact()}
    if until == "calibration":
        artifacts["calibration"] = make_calibration(snapshot).artifact()
    with run_folder.writing(path) as writer:
        writer.begin(config)
        for stage, artifact in artifacts.items():
            writer.put_stage(stage, artifact.to_files())
        manifest = Manifest(
            schema=SCHEMA,
            program=program(),
            seed=7,
            as_of=AS_OF,
            settings_hash=make_settings().hash_of(),
            stages={n: StageIdentity(content_hash=a.content_hash, inputs=dict(a.inputs)) for n, a in artifacts.items()},
            files=writer.hashes(),
        )
        writer.finish(manifest, environment(workers=1, seconds={"snapshot": 0.1}))
    return manifest


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run"
    write_run(path)
    return path


def test_a_run_comes_back_equal(finished: Path) -> None:
    snapshot = make_snapshot(n_bars=120)
    assert run_folder.load_snapshot(finished).artifact().content_hash == snapshot.artifact().content_hash
    found = run_folder.load_calibration(finished)
    assert found.artifact().content_hash == make_calibration(snapshot).artifact().content_hash
    assert sorted(path.name for path in finished.iterdir()) == [
        "calibration", "config.toml", "environment.json", "manifest.json", "snapshot",
    ]  # fmt: skip


def test_the_manifest_names_every_file_and_holds_no_clock_path_or_host(finished: Path) -> None:
    manifest = run_folder.read_manifest(finished)
    on_disk = {p.relative_to(finished).as_posix() for p in finished.rglob("*") if p.is_file()}
    assert on_disk == {*manifest.files, "manifest.json", "environment.json"}
    for name, digest in manifest.files.items():
        assert file_hash((finished / name).read_bytes()) == digest
    text = (finished / "manifest.json").read_text()
    assert str(finished) not in text
    assert os.uname().nodename not in text
    assert set(json.loads(text)) == {"schema", "program", "seed", "as_of", "settings_hash", "stages", "files"}


def test_two_writes_of_the_same_content_differ_in_the_environment_alone(finished: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "again")
    for path in finished.rglob("*"):
        if path.is_file() and path.name != "environment.json":
            assert path.read_bytes() == (tmp_path / "again" / path.relative_to(finished)).read_bytes(), path.name


@pytest.mark.parametrize("name", ["config.toml", "snapshot/prices.csv", "calibration/artifact.json"])
def test_an_edited_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    write_run(tmp_path / "run")
    file = tmp_path / "run" / name
    file.write_bytes(file.read_bytes().replace(b"7", b"8", 1))
    manifest = run_folder.read_manifest(tmp_path / "run")
    load: dict[str, Callable[[Path], object]] = {
        "config.toml": lambda run: run_folder.read_file(run, manifest, name),
        "snapshot": run_folder.load_snapshot,
        "calibration": run_folder.load_calibration,
    }
    with pytest.raises(ArtifactError, match="edited or damaged") as caught:
        load[name.partition("/")[0]](tmp_path / "run")
    assert caught.value.file == str(file)


def test_a_table_edited_together_with_its_file_hash_is_refused_by_the_content_hash(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_run(run)
    prices = run / "snapshot/prices.csv"
    table = Table.from_csv(prices.read_bytes())
    value = table["value"].copy()
    value[3] *= 2
    prices.write_bytes(Table({**table.columns, "value": value}).to_csv())
    document = json.loads((run / "manifest.json").read_text())
    document["files"]["snapshot/prices.csv"] = file_hash(prices.read_bytes())
    (run / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match="does not match its hash"):
        run_folder.load_snapshot(run)


def test_a_whole_stage_of_another_run_is_refused(tmp_path: Path) -> None:
    """Also when its own hashes hold and the manifest's file hashes were made to fit."""
    run = tmp_path / "run"
    write_run(run)
    other = make_snapshot(n_bars=121).artifact().to_files()
    document = json.loads((run / "manifest.json").read_text())
    for name, data in other.items():
        (run / "snapshot" / name).write_bytes(data)
        document["files"][f"snapshot/{name}"] = file_hash(data)
    (run / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match="not the manifest's"):
        run_folder.load_snapshot(run)


def test_missing_and_foreign_files_are_named(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_run(run)
    (run / "snapshot/extra.csv").write_text("x")
    with pytest.raises(ArtifactError, match="did not write"):
        run_folder.load_snapshot(run)
    (run / "snapshot/extra.csv").unlink()
    (run / "snapshot/prices.csv").unlink()
    with pytest.raises(ArtifactError, match="missing") as caught:
        run_folder.load_snapshot(run)
    assert caught.value.file == str(run / "snapshot/prices.csv")
    with pytest.raises(ArtifactError, match="holds no stress, only snapshot, calibration"):
        run_folder.load_stress(run)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"schema": "riskcal/manifest/9"}', "[" * 100_000, "\x00"], ids=range(7)
)
def test_a_broken_manifest_is_refused_and_its_folder_not_written(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ArtifactError, match="not a manifest of riskcal"):
        run_folder.read_manifest(tmp_path)
    with pytest.raises(ArtifactError), run_folder.writing(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_a_folder_with_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("mine")
    with pytest.raises(InputError, match="not a run folder"), run_folder.writing(tmp_path) as writer:
        writer.begin(b"yours")
    assert (tmp_path / "config.toml").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_path_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written") as caught, run_folder.writing(tmp_path / "file" / "run"):
        pass
    assert caught.value.file == str(tmp_path / "file" / "run")
    assert "--out" in str(caught.value)
    with pytest.raises(InputError), run_folder.writing(tmp_path / "file"):
        pass


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_nothing_is_left_when_it_fails_before_the_first_stage(tmp_path: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        with run_folder.writing(tmp_path / "deep" / "run") as writer:
            writer.begin(b"seed = 1\n")
            raise error

    with pytest.raises(error):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_failure_in_a_stage_leaves_the_finished_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    write_run(run)
    before = _files(run)
    files = make_snapshot(n_bars=120).artifact().to_files()
    write_bytes = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if self.name == "prices.csv" and "stress" in str(self):
            raise OSError(28, "No space left on device")
        return write_bytes(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)

    def write() -> None:
        with run_folder.writing(run) as writer:
            writer.begin(b"seed = 8\n", keep=["snapshot"])
            writer.put_stage("stress", files)

    with pytest.raises(InputError, match="No space left") as caught:
        write()
    assert caught.value.file == str(run / "stress")
    assert _files(run) == before
    assert len(run_folder.load_snapshot(run).series) == len(make_snapshot(n_bars=120).series)


def _files(run: Path) -> dict[str, bytes]:
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def _killed(step: Callable[..., object], run: Path, left: Iterator[int]) -> Callable[..., object]:
    """The step, which ends the process once no more are left within the swap."""

    def killed(*arguments: object, **options: object) -> object:
        if (run / ".whole").exists() and next(left, None) is None:
            raise SystemExit
        return step(*arguments, **options)

    return killed


def test_wherever_the_swap_is_killed_the_next_writer_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step of the swap in turn is the last; afterwards the folder is that of the new run to the byte."""
    write_run(tmp_path / "new", until="snapshot", config=b"seed = 8\n")
    wanted = _files(tmp_path / "new")
    killed = 0
    for last in range(40):
        run = tmp_path / f"run{last}"
        write_run(run)
        whole = False
        with monkeypatch.context() as patched:
            left = iter(range(last))
            for name in ("rename", "replace", "unlink", "touch", "rmdir"):
                patched.setattr(Path, name, _killed(getattr(Path, name), run, left))
            try:
                write_run(run, until="snapshot", config=b"seed = 8\n")
                whole = True
            except SystemExit:
                killed += 1
        if whole:
            break
        with run_folder.writing(run):
            pass
        found = _files(run)
        assert found.keys() == wanted.keys(), last
        assert all(found[name] == wanted[name] for name in wanted if name != "environment.json"), last
        run_folder.load_snapshot(run)
    assert killed >= 5


def test_a_cut_short_folder_can_be_written_again_and_what_was_left_aside_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".incomplete").touch()
    (tmp_path / ".writing-stress").mkdir()
    (tmp_path / ".writing-stress" / "rows.csv").write_text("half")
    (tmp_path / "stress").mkdir()
    write_run(tmp_path, until="snapshot")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["config.toml", "environment.json", "manifest.json", "snapshot"]


def test_two_processes_do_not_write_one_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    code = (
        "import sys; from pathlib import Path; from reports.run_folder import writing\n"
        "with writing(Path(sys.argv[1])): print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(InputError, match="another process"), run_folder.writing(run):
            pass
    assert run.is_dir()
    write_run(run, until="snapshot")


def test_what_others_put_beside_the_stages_stays(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_run(run)
    (run / "signoff.jsonl").write_text("{}\n")
    write_run(run, until="snapshot")
    assert (run / "signoff.jsonl").exists()
    assert not (run / "calibration").exists()


def test_floats_survive_the_folder_to_the_last_bit(finished: Path) -> None:
    stored, made = run_folder.load_snapshot(finished), make_snapshot(n_bars=120)
    for left, right in zip(stored.series, made.series, strict=True):
        assert np.array_equal(left.value.view(np.int64), right.value.view(np.int64))
