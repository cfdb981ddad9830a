"""The whole chain, end to end: the promises that a user may rely on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from reports.cli import main as command
from reports.run_folder import load_calibration, load_recommendation, load_snapshot, load_stress, read_manifest
from risk.artifact import Table
from risk.parameters import ParameterSet
from risk.recommendation import replay
from tests.cli.market import riskcal, write_market


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, int]:
    """The sample market's run with two workers, what it said, and its exit code."""
    folder = tmp_path_factory.mktemp("demo")
    done = riskcal("demo", "--workers", 2, cwd=folder)
    assert done.returncode in (0, 1), done.stderr
    return folder / "riskcal-demo", done.stdout, done.returncode


def test_the_demo_leaves_a_complete_run_folder(demo: tuple[Path, str, int]) -> None:
    run, _, _ = demo
    names = {path.name for path in run.iterdir()}
    assert names == {
        "config.toml", "snapshot", "calibration", "recommendation", "stress", "proposal", "environment.json",
        "manifest.json",
    }  # fmt: skip
    assert {path.name for path in (run / "recommendation").iterdir()} == {
        "artifact.json", "target.toml", "next.toml", "derivations.json",
    }  # fmt: skip
    proposal = {path.name for path in (run / "proposal").iterdir()}
    assert proposal == {"index.html", "proposal.md", "proposal.json", "calldata.json", "charts"}
    assert list((run / "proposal/charts").glob("*.svg"))
    environment = json.loads((run / "environment.json").read_text())
    assert set(environment["seconds"]) == {"snapshot", "calibration", "recommendation", "stress", "proposal"}


def test_every_stage_is_made_from_the_one_that_stands_in_the_folder(demo: tuple[Path, str, int]) -> None:
    stages = read_manifest(demo[0]).stages
    for stage in ("calibration", "recommendation", "stress", "proposal"):
        assert stages[stage].inputs["snapshot"] == stages["snapshot"].content_hash
    assert stages["recommendation"].inputs["calibration"] == stages["calibration"].content_hash
    assert stages["stress"].inputs["calibration"] == stages["calibration"].content_hash


def test_the_numbers_are_one_object_in_every_file(demo: tuple[Path, str, int]) -> None:
    run = demo[0]
    found = load_recommendation(run)
    assert ParameterSet.from_toml((run / "recommendation/target.toml").read_text()) == found.target
    assert ParameterSet.from_toml((run / "recommendation/next.toml").read_text()) == found.next_step
    assert {d.key for d in found.derivations} == set(found.target.values)
    for derivation in found.derivations:
        if derivation.refusal is None:
            assert derivation.target == str(found.target.values[derivation.key])
            replay(derivation.terms)
        else:
            assert found.target.values[derivation.key] == load_snapshot(run).in_force.values[derivation.key]


def test_the_exit_code_is_the_targets_verdict(demo: tuple[Path, str, int]) -> None:
    run, said, code = demo
    rows = load_stress(run).rows.where(set_id="target", has_budget=True)
    assert len(rows)
    failed = bool((rows["status"] == "fail").any() or rows["n_failed"].any())
    assert code == int(failed)
    assert ("FAIL" if failed else "PASS") in said
    assert str(Path("riskcal-demo/proposal/index.html")) in said


def gated(run: Path, tmp_path: Path, edits: dict[str, str], capsys: pytest.CaptureFixture[str]) -> tuple[int, set[str]]:
    """Exit code of the gate from what is in force to the next step, and the errors' codes and keys."""
    base, head = load_snapshot(run).in_force, load_recommendation(run).next_step
    (tmp_path / "base.toml").write_text(base.to_toml())
    changes = ParameterSet.from_texts(edits).values
    (tmp_path / "head.toml").write_text(head.replace(changes).to_toml())
    capsys.readouterr()
    files = (str(tmp_path / "base.toml"), str(tmp_path / "head.toml"))
    code = command.main(["gate", *files, "--config", str(run / "config.toml"), "--run", str(run), "--json"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    return code, {f"{f['code']} {f['key']}" for f in findings if f["severity"] == "error"}


def test_the_next_step_passes_the_gate(
    demo: tuple[Path, str, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, target = demo[0], load_recommendation(demo[0]).target
    assert load_snapshot(run).in_force != load_recommendation(run).next_step
    assert gated(run, tmp_path, {}, capsys) == (0, set())
    towards = {str(key): str(value) for key, value in target.values.items() if key.kind == "market"}
    assert gated(run, tmp_path, towards, capsys) == (0, set()), "margins may go all the way"


def test_margins_and_fees_that_no_stress_covers_need_the_targets(
    demo: tuple[Path, str, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    btc, doge = "perps/market/BTC-USD/tiers/1/", "perps/market/DOGE-USD/tiers/1/"
    fee = "amm/pool/ETH-USDC/swap_fee"
    margins = {btc + "initial_margin": "1%", btc + "maintenance_margin": "0.4%"}
    new = {doge + "initial_margin": "1%", doge + "maintenance_margin": "0.4%"}
    for edits in (margins, new, {fee: "0.06%"}):
        code, found = gated(demo[0], tmp_path, edits, capsys)
        assert code == 1
        assert found == {f"T001 {key}" for key in edits}


def test_the_demo_reproduces_to_the_byte_with_another_number_of_workers(demo: tuple[Path, str, int]) -> None:
    done = riskcal("reproduce", demo[0], "--workers", 1)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Same bytes." in done.stdout


def test_an_as_of_run_does_not_see_what_came_later(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every price and amount after the date is multiplied, half of the later rows are dropped; nothing moves."""
    config = write_market(tmp_path / "market")
    runs = [tmp_path / name for name in ("before", "after")]
    arguments = ["--as-of", "2025-05-15", "--json"]
    assert command.main(["propose", str(config), "--out", str(runs[0]), *arguments]) in (0, 1)
    for file in (tmp_path / "market/prices").iterdir():
        header, *lines = file.read_text().splitlines()
        kept = [line for line in lines if line < "2025-05-15"]
        later = [line.split(",") for line in lines if line >= "2025-05-15"][::2]
        assert len(kept) > 300
        assert len(later) > 20
        corrupt = [f"{day},{float(close) * 7!r},{float(volume) * 11!r}" for day, close, volume in later]
        file.write_text("\n".join([header, *kept, *corrupt]) + "\n")
    assert command.main(["propose", str(config), "--out", str(runs[1]), *arguments]) in (0, 1)
    capsys.readouterr()
    first, second = (read_manifest(run) for run in runs)
    assert first.stages == second.stages
    assert first.files == second.files


def test_adding_an_asset_leaves_the_others_marginals_to_the_byte(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_market(tmp_path / "market")
    fewer = tmp_path / "market/fewer.toml"
    text = config.read_text()
    asset, feed = text.index("[assets.LINK]"), text.index("[assets.USDC]")
    text = text[:asset] + text[feed:]
    text = text.replace(text[text.index('[[feeds]]\nkind = "files"\nasset = "LINK"') :].split("\n\n")[0], "")
    text = "\n".join(line for line in text.splitlines() if not line.startswith(("LINK =", "positions =")))
    for name in ("parameters.toml", "changed_at.csv", "depth.csv"):
        file = tmp_path / "market" / name
        old = file.read_text()
        parts = old.split("\n\n") if name.endswith("toml") else old.splitlines()
        joint = "\n\n" if name.endswith("toml") else "\n"
        (tmp_path / "market" / f"fewer-{name}").write_text(joint.join(p for p in parts if "LINK" not in p) + "\n")
        text = text.replace(f'"{name}"', f'"fewer-{name}"')
    fewer.write_text(text)
    for path, out in ((config, "all"), (fewer, "fewer")):
        assert command.main(["calibrate", str(path), "--out", str(tmp_path / out), "--json"]) == 0
    capsys.readouterr()
    full, part = load_calibration(tmp_path / "all"), load_calibration(tmp_path / "fewer")
    assert "LINK" in full.assets
    assert "LINK" not in part.assets
    for name in ("figures", "race", "track_record", "exceptions", "assumptions", "unavailable"):
        table = getattr(full, name)
        others = ~np.char.startswith(table["subject"].astype("U"), "LINK")
        rest = Table({column: values[others] for column, values in table.columns.items()})
        assert rest.to_csv() == getattr(part, name).to_csv(), name
    for subject, model in {**part.assets, **part.pairs}.items():
        other = full.assets.get(subject) or full.pairs[subject]
        for field in ("draws", "shocks", "starting_variance", "jump_intensity", "residuals"):
            assert getattr(model, field).tobytes() == getattr(other, field).tobytes(), (subject, field)
