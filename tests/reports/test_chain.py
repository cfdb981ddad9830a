"""The chain's own logic with quick stand-ins for the models: what is kept, what is replaced, what is left."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from reports import chain, run_folder
from reports.chain import Chain, Start, recompute, run_chain
from reports.manifest import Program
from risk.errors import ArtifactError, SettingsError, UnitError
from tests.cli.market import write_market
from tests.factories import make_calibration, make_snapshot
from tests.reports.artifacts import make_recommendation, make_stress

SNAPSHOT = make_snapshot(n_bars=130)
CALIBRATION = make_calibration(SNAPSHOT)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Replace the models by stand-ins that take no time; counts how often each stage is made."""
    counts: Counter[str] = Counter()

    def calibration(state: Chain, *_: object) -> None:
        state.calibration = CALIBRATION
        state.keep("calibration", CALIBRATION.artifact())

    def recommendation(state: Chain, *_: object) -> None:
        state.recommendation = make_recommendation(SNAPSHOT.in_force)
        state.keep("recommendation", state.recommendation.artifact(), {"target.toml": b"x"})

    def stress(state: Chain, *_: object) -> None:
        state.stress = make_stress()
        state.keep("stress", state.stress.artifact())

    def proposal(state: Chain, *_: object) -> None:
        state.files["proposal"] = {"index.html": b"<p>", "charts/a.svg": b"<svg/>"}
        state.identities["proposal"] = state.identities["stress"]

    def counted(stage: str, make: object) -> object:
        def run(state: Chain, *rest: object) -> None:
            counts[stage] += 1
            make(state, *rest)  # type: ignore[operator]

        return run

    makers = {"calibration": calibration, "recommendation": recommendation, "stress": stress, "proposal": proposal}
    for stage, make in makers.items():
        monkeypatch.setitem(chain._MAKERS, stage, counted(stage, make))  # type: ignore[arg-type]
    return counts


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_market(tmp_path_factory.mktemp("market") / "m").read_bytes()


def start_of(config: bytes, *, seed: int | None = None, bars: int = 130) -> Start:
    start = Start.from_text(config, Path(), file="riskcal.toml", seed=seed)
    snapshot = SNAPSHOT if bars == 130 else make_snapshot(n_bars=bars)
    return Start(config, start.settings, Path(), None, snapshot)


def test_the_folder_is_complete_and_a_second_run_makes_nothing(
    made: Counter[str], config: bytes, tmp_path: Path
) -> None:
    told: list[tuple[str, bool]] = []
    run_chain(start_of(config), tmp_path / "run")
    manifest = run_folder.read_manifest(tmp_path / "run")
    assert set(manifest.stages) == set(run_folder.STAGES)
    assert {"config.toml", "proposal/charts/a.svg", "recommendation/target.toml"} <= set(manifest.files)
    assert (tmp_path / "run/config.toml").read_bytes() == config
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*")}
    again = run_chain(start_of(config), tmp_path / "run", observer=lambda s, t: told.append((s, t == 0.0)))
    assert made == Counter(calibration=1, recommendation=1, stress=1, proposal=1)
    assert {stage for stage, reused in told if reused} == set(run_folder.STAGES[1:])
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*")} == before
    assert again.stress.artifact().content_hash == make_stress().artifact().content_hash


def test_only_missing_stages_run(made: Counter[str], config: bytes, tmp_path: Path) -> None:
    run_chain(start_of(config), tmp_path, until="calibration")
    assert set(run_folder.read_manifest(tmp_path).stages) == {"snapshot", "calibration"}
    run_chain(start_of(config), tmp_path, until="stress")
    assert made == Counter(calibration=1, recommendation=1, stress=1)
    run_chain(start_of(config), tmp_path, until="calibration")
    assert made == Counter(calibration=1, recommendation=1, stress=1)
    assert set(run_folder.read_manifest(tmp_path).stages) == {"snapshot", "calibration", "recommendation", "stress"}


@pytest.mark.parametrize("change", ["seed", "snapshot", "settings", "program"])
def test_any_change_of_what_a_run_is_made_from_replaces_it_all(
    made: Counter[str], config: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    run_chain(start_of(config), tmp_path)
    if change == "program":
        monkeypatch.setattr(chain, "program", lambda: Program(version="9", source="0" * 64))
    starts = {
        "seed": lambda: start_of(config, seed=5),
        "snapshot": lambda: start_of(config, bars=140),
        "settings": lambda: start_of(config.replace(b'keeper_delay = "1d"', b'keeper_delay = "2d"')),
        "program": lambda: start_of(config),
    }
    run_chain(starts[change](), tmp_path, until="calibration")
    assert made["calibration"] == 2
    assert set(run_folder.read_manifest(tmp_path).stages) == {"snapshot", "calibration"}
    assert not (tmp_path / "stress").exists()


def test_a_comment_in_the_settings_is_no_change(made: Counter[str], config: bytes, tmp_path: Path) -> None:
    run_chain(start_of(config), tmp_path, until="calibration")
    run_chain(start_of(b"# a comment\n" + config), tmp_path, until="calibration")
    assert made["calibration"] == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_failure_in_the_middle_leaves_the_finished_run_or_whole_stages(
    made: Counter[str], config: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def fail(*_: object) -> None:
        raise error

    run_chain(start_of(config), tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    monkeypatch.setitem(chain._MAKERS, "stress", fail)  # type: ignore[arg-type]
    with pytest.raises(error):
        run_chain(start_of(config, seed=5), tmp_path / "run")
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before
    run_folder.load_stress(tmp_path / "run")
    with pytest.raises(error):
        run_chain(start_of(config, seed=5), tmp_path / "new")
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == [".incomplete", "calibration", "config.toml", "recommendation", "snapshot"]


def test_an_edited_stage_is_never_taken_over(made: Counter[str], config: bytes, tmp_path: Path) -> None:
    run_chain(start_of(config), tmp_path)
    file = tmp_path / "calibration/figures.csv"
    file.write_bytes(file.read_bytes().replace(b"0.9", b"0.8", 1))
    with pytest.raises(ArtifactError, match="edited or damaged"):
        run_chain(start_of(config), tmp_path)


def test_a_run_starts_again_from_itself_with_its_seed(made: Counter[str], config: bytes, tmp_path: Path) -> None:
    run_chain(start_of(config, seed=99), tmp_path, until="calibration")
    start = Start.from_run(tmp_path)
    assert start.settings.seed == 99
    assert start.as_of == SNAPSHOT.as_of
    assert Start.from_run(tmp_path, seed=3).settings.seed == 3
    run_chain(start, tmp_path, until="stress")
    assert made == Counter(calibration=1, recommendation=1, stress=1)
    run_chain(start, tmp_path / "other", until="calibration")
    assert made["calibration"] == 2


def test_recompute_reads_and_writes_no_folder(
    made: Counter[str], config: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = recompute(start_of(config))
    assert set(found.files) == set(run_folder.STAGES)
    assert list(tmp_path.iterdir()) == []


def test_an_as_of_that_is_no_time_names_where_it_stood(config: bytes) -> None:
    with pytest.raises(UnitError, match=r"--as-of: not an instant \(found 'soon'\)"):
        Start.from_text(config, Path(), file="riskcal.toml", as_of="soon")
    with pytest.raises(UnitError, match=r"riskcal\.toml: as_of: not an instant"):
        Start.from_text(b'as_of = "soon"\n' + config, Path(), file="riskcal.toml")
    with pytest.raises(SettingsError, match="UTF-8"):
        Start.from_text(b"\xff\xfe", Path(), file="riskcal.toml")
    given = Start.from_text(b'as_of = "2024-01-01"\n' + config, Path(), file="riskcal.toml", as_of="2023-01-01")
    assert given.as_of == 1_672_531_200
