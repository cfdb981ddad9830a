"""``riskcal gate --run``: base and head simulated on the calibration of a run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reports.cli.main import main
from reports.manifest import SCHEMA, Manifest, StageIdentity, program
from reports.run_folder import writing
from risk.artifact import Artifact
from risk.units import Seconds
from tests.factories import PARAMETERS, make_calibration, make_settings, make_snapshot

CONFIG = """\
seed = 7

[markets.lending]
protocol = "aave_v3"
chain_id = 1
configurator = "0x1111111111111111111111111111111111111111"

[markets.perps]
protocol = "generic"

[[feeds]]
kind = "sample"
"""
Verb = Callable[..., tuple[int, dict[str, object]]]


def settings_text(budget: str = "250000 USD", route: str = "governance") -> str:
    """The factory's settings as a file."""
    settings = make_settings()
    appetite = {
        "expected_bad_debt_usd_per_year": budget,
        "es99_usd": "5000000000 USD",
        "es_horizon": "7d",
        "backstop_usd": "20000000000 USD",
        "parameter_life": "28d",
        "shortfall_tolerance_usd": "10000000000 USD",
        "breach_probability": "99%",
        "mean_loss_given_crossing": "0.01%",
    }
    execution = {}
    for name, value in settings.execution:
        execution[name] = str(Seconds(value)) if isinstance(value, int) else f"{100 * value:.4f}%"
    lines = [CONFIG]
    for title, table in (("appetite", appetite), ("execution", execution)):
        lines += [f"[{title}]", *(f'{name} = "{value}"' for name, value in table.items())]
    lines += ["[policy]", f'route = "{route}"', "[models]", "posterior_draws = 20", "monte_carlo_paths = 400"]
    for name, asset in settings.assets.items():
        lines.append(f"[assets.{name}]")
        for field, value in asset.model_dump(exclude_defaults=True).items():
            lines.append(f"{field} = {json.dumps(value)}")
    for name in ("collateral_factor", "liquidation_threshold", "liquidation_bonus"):
        lines += [f"[bounds.{name}]", 'step = "0.5%"', 'minimum_delay = "3d"']
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that holds a snapshot and a calibration."""
    folder = tmp_path_factory.mktemp("gate") / "run"
    snapshot, settings = make_snapshot(), make_settings()
    artifacts: dict[str, Artifact] = {
        "snapshot": snapshot.artifact(),
        "calibration": make_calibration(snapshot, settings).artifact(),
    }
    with writing(folder) as writer:
        writer.begin(settings_text().encode())
        for stage, artifact in artifacts.items():
            writer.put_stage(stage, artifact.to_files())
        manifest = Manifest(
            schema=SCHEMA,
            program=program(),
            seed=settings.seed,
            as_of=snapshot.as_of,
            settings_hash=settings.hash_of(),
            stages={
                name: StageIdentity(content_hash=a.content_hash, inputs=dict(a.inputs)) for name, a in artifacts.items()
            },
            files=writer.hashes(),
        )
        writer.finish(manifest, b"{}\n")
    return folder


@pytest.fixture
def verb(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Verb:
    """The exit code and the document of a gate run; edits are pairs of old and new text, each hit once."""

    def call(
        *edits: tuple[str, str], base: str = PARAMETERS, config: str | None = None
    ) -> tuple[int, dict[str, object]]:
        head = base
        for old, new in edits:
            assert head.count(old) == 1, old
            head = head.replace(old, new)
        for name, content in (("base.toml", base), ("head.toml", head), ("riskcal.toml", config or settings_text())):
            (tmp_path / name).write_text(content)
        files = [str(tmp_path / name) for name in ("base.toml", "head.toml")]
        code = main(["gate", *files, "--config", str(tmp_path / "riskcal.toml"), "--run", str(run), "--json"])
        captured = capsys.readouterr()
        return code, json.loads(captured.out) if captured.out else {"error": captured.err}

    return call


def codes(document: dict[str, object]) -> set[tuple[str, str, str]]:
    findings = document["findings"]
    assert isinstance(findings, list)
    return {(f["severity"], f["code"], f["key"]) for f in findings}


def loss_of_base(verb: Verb) -> float:
    """Expected bad debt of base, as the evidence of a breach of a budget of one dollar states it."""
    _, document = verb(('"83.00%"', '"83.20%"'), config=settings_text(budget="1 USD"))
    findings = document["findings"]
    assert isinstance(findings, list)
    evidence = [v for f in findings for k, v in f["evidence"].items() if k.startswith("expected bad debt")]
    value = evidence[0]["base"]["value"]
    assert isinstance(value, float)
    return value


def test_a_change_that_keeps_every_budget_passes(verb: Verb) -> None:
    code, document = verb(('"83.00%"', '"82.80%"'), config=settings_text(budget="900000000000 USD"))
    assert (code, codes(document)) == (0, set())


def test_a_change_that_breaks_a_budget_is_caught_with_its_key(verb: Verb) -> None:
    budget = f"{loss_of_base(verb) * 1.0001:.0f} USD"
    code, document = verb(
        ('liquidation_threshold = "83.00%"', 'liquidation_threshold = "92.00%"'), config=settings_text(budget=budget)
    )
    assert code == 1
    assert ("error", "E001", "lending/reserve/WETH/liquidation_threshold") in codes(document)


def test_a_broken_budget_may_be_mended_in_steps_and_not_worsened(verb: Verb) -> None:
    config = settings_text(budget="1 USD")
    looser, tighter = ('"83.00%"', '"90.00%"'), ('"83.00%"', '"70.00%"')
    tighter_factor = ('"80.50%"', '"65.00%"')
    code, document = verb(looser, config=config)
    assert code == 1
    assert ("error", "E002", "lending/reserve/WETH/liquidation_threshold") in codes(document)
    code, document = verb(tighter, tighter_factor, config=config)
    assert (code, {c[:2] for c in codes(document)}) == (0, {("warning", "E004")})


def test_steps_are_measured_from_the_snapshot(verb: Verb) -> None:
    config = settings_text(budget="900000000000 USD", route="steward")
    assert verb(('"83.00%"', '"82.80%"'), config=config)[0] == 0
    code, document = verb(('"83.00%"', '"82.00%"'), config=config)
    assert code == 1
    assert codes(document) == {("error", "S001", "lending/reserve/WETH/liquidation_threshold")}


def test_a_set_that_cannot_be_simulated_lacks_evidence(verb: Verb) -> None:
    code, document = verb(('"83.00%"', '"8300%"'))
    assert code == 1
    assert {c[1] for c in codes(document)} >= {"B001", "E003"}


def test_a_run_that_was_edited_is_bad_input(verb: Verb, run: Path) -> None:
    file = run / "calibration" / "figures.csv"
    kept = file.read_bytes()
    try:
        file.write_bytes(kept.replace(b"ok", b"no", 1))
        code, document = verb(('"83.00%"', '"82.80%"'))
    finally:
        file.write_bytes(kept)
    assert code == 2
    assert "figures.csv" in str(document["error"])


def test_a_gate_on_a_run_imports_no_modelling_library(verb: Verb, run: Path, tmp_path: Path) -> None:
    verb(('"83.00%"', '"82.80%"'))
    options = ["--config", str(tmp_path / "riskcal.toml"), "--run", str(run), "--json"]
    arguments = ["gate", str(tmp_path / "base.toml"), str(tmp_path / "head.toml"), *options]
    code = (
        f"import sys; from reports.cli.main import main; main({arguments!r})\n"
        "print([m for m in ('arch', 'pandas', 'scipy.stats', 'scipy.optimize', 'matplotlib', 'web3', 'ccxt')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
