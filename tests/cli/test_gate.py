"""``riskcal gate``: exit codes, what is printed, and the evidence of a run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle_adapters import sample
from reports.cli.main import main
from risk.outcome import Severity
from risk.parameters import Key, ParameterSet
from risk.settings import read_settings
from risk.units import Ratio, TokenAmount
from tests.gate.strategies import errors, gate

BASE = sample.text("parameters.toml")
CONFIG = sample.settings_text()
GOVERNANCE = CONFIG + '\n[policy]\nroute = "governance"\n'
WETH = "aave-core/reserve/WETH/"

Run = Callable[..., int]


@pytest.fixture
def run_gate(tmp_path: Path) -> Run:
    """Write the files and run the verb; bytes or text for head, no file for None."""

    def run(head: str | bytes | None, *options: str, base: str | bytes = BASE, config: str = CONFIG) -> int:
        for name, content in (("base.toml", base), ("head.toml", head), ("riskcal.toml", config)):
            if content is not None:
                (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        files = [str(tmp_path / name) for name in ("base.toml", "head.toml")]
        return main(["gate", *files, "--config", str(tmp_path / "riskcal.toml"), *options])

    return run


def edited(old: str, new: str) -> str:
    assert BASE.count(old) == 1, old
    return BASE.replace(old, new)


def test_no_change_passes(run_gate: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_gate(BASE) == 0
    assert capsys.readouterr().out.startswith("PASS  no finding; 0 of ")


def test_comments_and_spelling_are_no_change(run_gate: Run) -> None:
    assert run_gate("# approved\n" + edited('"80.50%"', '"80.5 %"')) == 0


def test_a_finding_names_code_key_values_line_and_remedy(run_gate: Run, capsys: pytest.CaptureFixture[str]) -> None:
    head = edited('"80.50%"', '"83.01%"')
    assert run_gate(head) == 1
    out = capsys.readouterr().out
    line = head.splitlines().index('collateral_factor = "83.01%"') + 1
    for text in ("error I001", WETH + "collateral_factor", "80.50% → 83.01%", f"head.toml:{line}", "FAIL  "):
        assert text in out
    assert "Lower the factor or raise the threshold" in out


def test_without_a_run_the_evidence_is_missing(run_gate: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_gate(edited('"80.50%"', '"80.40%"'), "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == "fail"
    assert {f["code"] for f in document["findings"]} == {"E003"}
    assert document["findings"][0]["evidence"]["unseen"]


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (None, "cannot be read"),
        (b"\xff\xfe", "not a text file"),
        (b"\x00", "not TOML"),
        ("[aave-core.reserve.WETH\n", "not TOML"),
        ("not toml", "not TOML"),
        ("[" * 100_000, "not TOML"),
        ("a = " + "[" * 100_000, "not TOML"),
        ("[a.reserve.X]\nsupply_cap = '1 X'\nsupply_cap = '2 X'\n", "not TOML"),
        ("[aave-core.reserve.WETH]\ncolateral_factor = '80%'\n", "unknown parameter"),
        ("[aave-core.vault.WETH]\nsupply_cap = '80 WETH'\n", "unknown kind"),
        ("[aave-core.reserve.WETH.deep]\nsupply_cap = '80 WETH'\n", "unknown part"),
        ("seed = 1\n", "not a parameter key"),
        ("[aave-core.reserve.'../../etc']\nsupply_cap = '80 X'\n", "holds a slash"),
        (BASE + "\n['aave-core/reserve/WETH']\ncollateral_factor = '99%'\n", "holds a slash"),
        ("[aave-core.reserve.'a b']\nsupply_cap = '80 X'\n", "not a parameter key"),
        (BASE + "\n[perps.market.BTC-USD.tiers.01]\ninitial_margin = '1%'\n", "unknown part"),
        ("a." * 5_000 + "b = 1\n", ""),
        (b"#" * (5 * 2**20), "larger than"),
    ],
)
def test_a_head_that_is_no_parameter_file_is_bad_input(
    run_gate: Run, capsys: pytest.CaptureFixture[str], head: str | bytes | None, message: str
) -> None:
    assert run_gate(head) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "head.toml" in captured.err
    assert captured.out == ""


def test_the_same_of_base_and_of_settings(run_gate: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run_gate(BASE, base="not toml") == 2
    assert "base.toml" in capsys.readouterr().err
    assert run_gate(BASE, config=CONFIG.replace("seed", "sede")) == 2
    assert "riskcal.toml" in capsys.readouterr().err
    assert main(["gate", str(tmp_path / "base.toml"), str(tmp_path / "head.toml")]) == 2
    assert "--config" in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_bad_input(
    run_gate: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run_gate(edited('"80.50%"', '"80.40%"'), "--run", str(tmp_path)) == 2
    assert "not a run folder" in capsys.readouterr().err


def test_a_value_that_cannot_be_right_is_a_finding_not_bad_input(run_gate: Run) -> None:
    for value in ('"6400"', '"8050%"', "0.8", "true", "[]", "1979-05-27", '"' + "9" * 3000 + '%"', '"\\u001b[2J"'):
        assert run_gate(edited('"80.50%"', value)) == 1


def test_head_cannot_bring_its_own_settings(run_gate: Run) -> None:
    """Settings and budgets come from the trusted side alone."""
    assert run_gate(BASE + '\n[policy]\nroute = "governance"\n') == 2


def test_governance_is_not_bound_by_steps(run_gate: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run_gate(edited('"80.50%"', '"77.00%"'), "--json", config=GOVERNANCE)
    document = json.loads(capsys.readouterr().out)
    assert {f["code"] for f in document["findings"]} == {"E003"}
    assert document["checked"]["S001"] == 0


def test_a_gate_run_imports_nothing_heavy(run_gate: Run, tmp_path: Path) -> None:
    assert run_gate(BASE) == 0
    code = (
        "import sys; from reports.cli.main import main\n"
        f"code = main(['gate', {str(tmp_path / 'base.toml')!r}, {str(tmp_path / 'head.toml')!r},"
        f" '--config', {str(tmp_path / 'riskcal.toml')!r}, '--json'])\n"
        "print([m for m in ('arch', 'pandas', 'scipy.stats', 'scipy.optimize', 'matplotlib', 'numba', 'duckdb',"
        " 'web3', 'ccxt') if m in sys.modules], code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] 0"


# ---- every asset of the sample market ------------------------------------------------------------------------

SAMPLE = sample.parameters()
SAMPLE_SETTINGS = read_settings(CONFIG)


def judged(head: ParameterSet) -> set[tuple[str, str]]:
    return errors(gate(SAMPLE, head, settings=SAMPLE_SETTINGS))


def test_the_sample_market_keeps_the_rules() -> None:
    assert gate(SAMPLE, SAMPLE, settings=SAMPLE_SETTINGS).findings == ()


@pytest.mark.parametrize("key", list(SAMPLE.values), ids=str)
def test_each_number_of_the_sample_market_is_guarded(key: Key) -> None:
    """A missing unit, a sign, a number between the steps and a cap of zero, on each of its numbers."""
    text = str(SAMPLE.values[key])
    table = ".".join((key.market, key.kind, f'"{key.subject}"', *key.path))
    corruptions = {
        text.replace("%", "").split(" ")[0]: "U001",
        f"-{text}": "B001",
        text.replace("%", "01%") if "%" in text else text.replace(" ", ".5 "): "U002",
    }
    if key.spec.zero_is_unlimited:
        corruptions[f"0 {key.subject}"] = "S003"
    for value, code in corruptions.items():
        one = ParameterSet.from_toml(f'[{table}]\n{key.parameter} = "{value}"\n')
        assert (code, str(key)) in judged(SAMPLE.replace(one.values)), value


@given(st.data())
@settings(max_examples=100)
def test_legal_steps_on_the_sample_market_pass(data: st.DataObject) -> None:
    """A threshold may fall to its factor, a factor may fall, a cap may move within a doubling."""
    head = SAMPLE
    for key in data.draw(st.lists(st.sampled_from(list(SAMPLE.values)), unique=True)):
        quantity = head.values[key]
        step = data.draw(st.integers(0, 50))
        if key.parameter in ("collateral_factor", "liquidation_bonus") and isinstance(quantity, Ratio):
            head = head.replace({key: Ratio(quantity.value - Decimal(step) / 10_000)})
        elif key.parameter == "supply_cap" and isinstance(quantity, TokenAmount):
            cap = data.draw(st.integers(1, 2 * int(quantity.value)))
            head = head.replace({key: TokenAmount(Decimal(cap), quantity.symbol)})
    result = gate(SAMPLE, head, settings=SAMPLE_SETTINGS, changed_at=dict.fromkeys(SAMPLE.values, 0))
    assert not result.failed
    assert all(f.severity is not Severity.ERROR for f in result.findings)
