"""The rules one by one: routes, delays, evidence, completeness, and what a finding carries."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from risk.artifact import readable_json
from risk.gate.context import GateContext
from risk.gate.rules import RULES, run_gate
from risk.gate.stress import why_not_stressed
from risk.market import StepBound
from risk.outcome import Severity
from risk.parameters import Key, ParameterSet
from tests.factories import AS_OF, DAY, PARAMETERS, make_parameters, make_settings
from tests.gate.strategies import errors, gate, make_stress, only, recommended

BASE = make_parameters()
GOVERNANCE = make_settings(policy={"route": "governance"})
WETH = "lending/reserve/WETH/"
MEAN, TAIL = "expected_bad_debt_per_year", "bad_debt_es99"


def head(*edits: tuple[str, str]) -> ParameterSet:
    """The factory's set with lines replaced; each edit must hit exactly one."""
    text = PARAMETERS
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return make_parameters(text)


def test_codes_are_unique_but_for_one_rule_with_two_senses() -> None:
    codes = [rule.code for rule in RULES]
    assert sorted(codes) == sorted([*set(codes), "I004"])
    assert all(rule.title and not rule.title.endswith(".") for rule in RULES)


def test_stewards_are_bound_by_steps_and_governance_is_not() -> None:
    changed = head(('"80.50%"', '"77.00%"'))
    result = gate(BASE, changed)
    assert errors(result) == {("S001", WETH + "collateral_factor")}
    [finding] = only(result, "S001")
    assert "3.50 points" in finding.message
    assert "0.50 points" in finding.message
    assert finding.remedy.startswith("Move to 80.00% now and on after 3d")
    assert gate(BASE, changed, settings=GOVERNANCE).findings == ()


def test_a_relative_bound_is_a_share_of_the_value_before() -> None:
    doubled, more = head(('"60000 WETH"', '"120000 WETH"')), head(('"60000 WETH"', '"120001 WETH"'))
    assert not gate(BASE, doubled).failed
    [finding] = gate(BASE, more).findings
    assert (finding.code, finding.key) == ("S001", WETH + "supply_cap")
    assert "Move to 120000 WETH" in finding.remedy


def test_the_bound_itself_is_legal_and_the_next_unit_is_not() -> None:
    assert not gate(BASE, head(('"80.50%"', '"81.00%"'))).failed
    assert errors(gate(BASE, head(('"80.50%"', '"81.01%"')))) == {("S001", WETH + "collateral_factor")}


def test_from_an_unlimited_cap_a_relative_bound_allows_nothing() -> None:
    """The steward's contract compares with a share of zero."""
    result = gate(head(('"60000 WETH"', '"0 WETH"')), BASE)
    assert [f.remedy for f in only(result, "S001")] == ["Take it to governance"]


def test_a_cap_cut_to_a_tenth_is_legal_and_only_noticed() -> None:
    result = gate(BASE, head(('"60000 WETH"', '"6000 WETH"')))
    assert [(f.code, f.severity) for f in result.findings] == [("B002", Severity.WARNING)]
    assert gate(BASE, head(('"60000 WETH"', '"6000 WETH"')), settings=GOVERNANCE).failed


def test_mending_a_number_that_cannot_be_right_is_no_slipped_digit() -> None:
    wrong = head(('"80.50%"', '"8050.00%"'))
    assert gate(wrong, BASE, settings=GOVERNANCE).findings == ()


def test_a_parameter_without_a_bound_is_named() -> None:
    [finding] = gate(BASE, head(('"15.00%"', '"16.00%"'))).findings
    assert (finding.code, finding.severity) == ("S001", Severity.NOTE)
    [looser] = only(gate(BASE, head(('"15.00%"', '"14.00%"'))), "S001")
    assert looser.severity is Severity.WARNING


def test_stewards_do_not_move_what_their_contract_has_no_bound_for() -> None:
    """Reserves have bounds, so a reserve's number without one is out of their reach."""
    table = 'supply_cap = "60000 WETH"\n'
    before, after = (head((table, f'{table}borrow_cap = "{cap} WETH"\n')) for cap in (50_000, 40_000))
    assert errors(gate(before, after)) == {("S001", WETH + "borrow_cap")}
    assert gate(before, after, settings=GOVERNANCE).findings == ()
    read = {"borrow_cap": StepBound(1.0, relative=True, minimum_delay=3 * DAY)}
    assert gate(before, after, bounds=read).findings == (), "the run read it on chain"


@pytest.mark.parametrize(("days", "failed"), [(0.0, True), (2.99, True), (3.0, False), (400.0, False)])
def test_a_step_waits_for_its_delay(days: float, failed: bool) -> None:
    changed_at = dict.fromkeys(BASE.values, AS_OF - int(days * DAY))
    result = gate(BASE, head(('"80.50%"', '"80.00%"')), changed_at=changed_at)
    assert errors(result) == ({("S002", WETH + "collateral_factor")} if failed else set())
    if failed:
        assert "Wait until 20" in only(result, "S002")[0].remedy


def test_a_number_without_an_earlier_change_on_record_is_noted() -> None:
    changed_at = {key: AS_OF for key in BASE.values if key.subject == "LINK"}
    result = gate(BASE, head(('"80.50%"', '"80.00%"')), changed_at=changed_at)
    assert [(f.code, f.severity) for f in result.findings] == [("S002", Severity.NOTE)]


def test_missing_evidence_is_a_failure_with_its_denominator() -> None:
    changed = head(('"80.50%"', '"80.00%"'), ('"66.00%"', '"66.10%"'))
    result = gate(BASE, changed, stress=None, changed_at=None, as_of=None, absent={"stress": "no --run"})
    loosened = "lending/reserve/LINK/collateral_factor"
    assert [(f.code, f.key, f.severity) for f in result.findings] == [("E003", loosened, Severity.ERROR)] * 2
    for finding in result.findings:
        assert finding.line == changed.lines[Key.parse(finding.key)]
    assert {f.message for f in result.findings} == {
        "the stress of base and head is missing (no --run): E001 saw 0 of 1, E002 saw 0 of 1, E004 saw 0 of 1",
        "the record of earlier changes is missing (it was not given): S002 saw 0 of 2",
    }
    assert result.checked["E001"] == result.checked["S002"] == 0
    assert not gate(BASE, changed, settings=GOVERNANCE, changed_at=None, as_of=None).failed


def test_each_budget_is_compared_on_the_same_paths() -> None:
    changed = head(('"80.50%"', '"80.80%"'), ('"71.00%"', '"70.80%"'))
    suspect = {WETH + "collateral_factor"}
    broken = gate(BASE, changed, stress=make_stress({MEAN: (1.0, 3.0, 2.0), TAIL: (1.0, 1.0, 5.0)}))
    assert errors(broken) == {("E001", key) for key in suspect}, "the change that tightens is no suspect"
    [finding] = only(broken, "E001")
    assert "is 3 USD where 2 USD is accepted, and 1 USD in base" in finding.message
    worse = gate(BASE, changed, stress=make_stress({MEAN: (3.0, 4.0, 2.0)}))
    assert errors(worse) == {("E002", key) for key in suspect}
    for after in (3.0, 2.5):
        better = gate(BASE, changed, stress=make_stress({MEAN: (3.0, after, 2.0)}))
        assert [(f.code, f.key, f.severity) for f in better.findings] == [("E004", *suspect, Severity.WARNING)]
        assert better.findings[0].line == changed.lines[Key.parse(WETH + "collateral_factor")]
    assert gate(BASE, changed, stress=make_stress({MEAN: (3.0, 1.0, 2.0)})).findings == ()


def test_where_every_change_tightens_each_is_a_suspect() -> None:
    changed = head(('"83.00%"', '"82.80%"'), ('"71.00%"', '"70.80%"'))
    result = gate(BASE, changed, stress=make_stress({MEAN: (1.0, 3.0, 2.0)}))
    names = {WETH + "liquidation_threshold", "lending/reserve/LINK/liquidation_threshold"}
    assert errors(result) == {("E001", name) for name in names}


def test_a_bonus_has_no_safe_direction_so_it_is_always_a_suspect() -> None:
    for text in ('"4.30%"', '"4.80%"'):
        changed = head(('"73.00%"', '"72.90%"'), ('liquidation_bonus = "4.50%"', f"liquidation_bonus = {text}"))
        result = gate(BASE, changed, stress=make_stress({MEAN: (1.0, 3.0, 2.0)}))
        assert errors(result) == {("E001", "lending/reserve/USDC/liquidation_bonus")}


@pytest.mark.parametrize("failed_side", ["base", "head"])
def test_a_failed_path_is_never_a_pass(failed_side: str) -> None:
    stress = make_stress({MEAN: (1.0, 1.0, 2.0)}, n_failed={failed_side: 1})
    result = gate(BASE, head(('"80.50%"', '"80.00%"')), stress=stress)
    assert errors(result) == {("E003", WETH + "collateral_factor")}
    assert "1 of 1 budgets" in result.findings[0].message


def test_stress_without_a_budget_or_without_a_set_is_no_evidence() -> None:
    changed = head(('"80.50%"', '"80.00%"'))
    assert errors(gate(BASE, changed, stress=make_stress({}))) == {("E003", WETH + "collateral_factor")}
    whole = make_stress({MEAN: (1.0, 1.0, 2.0)})
    half = type(whole)(whole.rows.where(set_id="base"), whole.curve, whole.losses, {}, {})
    assert errors(gate(BASE, changed, stress=half)) == {("E003", WETH + "collateral_factor")}


def test_new_numbers_are_noticed_and_unknown_places_refused() -> None:
    extra = '\n[perps.market.BTC-USD.tiers.1]\ninitial_margin = "9%"\nmaintenance_margin = "4%"\n'
    new = make_parameters(PARAMETERS + extra)
    result = gate(BASE, new, recommendation=recommended(new))
    assert {(f.code, f.severity) for f in result.findings} == {("C002", Severity.WARNING)}
    stray = '\n[lending.reserve.DOGE]\nsupply_cap = "5 DOGE"\n[other.pool.ETH-USDC]\nswap_fee = "0.3%"\n'
    result = gate(BASE, make_parameters(PARAMETERS + stray))
    pool = "other/pool/ETH-USDC/swap_fee"
    assert errors(result) == {("C003", "lending/reserve/DOGE/supply_cap"), ("C003", pool), ("E003", pool)}


def test_a_new_half_of_a_pair_is_an_error() -> None:
    extra = '\n[perps.market.BTC-USD.tiers.1]\ninitial_margin = "9%"\n'
    new = make_parameters(PARAMETERS + extra)
    assert errors(gate(BASE, new, recommendation=recommended(new))) == {
        ("I005", "perps/market/BTC-USD/tiers/1/initial_margin")
    }


def test_tiers_are_ordered_by_number_not_by_text() -> None:
    tiers = "".join(
        f'[perps.market.SOL-USD.tiers.{n}]\nnotional_limit = "{n} USD"\n'
        f'initial_margin = "{n + 10}%"\nmaintenance_margin = "{n}%"\n'
        for n in range(1, 12)
    )
    parameters = make_parameters(tiers)
    assert not gate(parameters, parameters).failed
    assert gate(parameters, parameters).checked["I004"] == 30


def test_a_finding_points_at_the_line_of_head() -> None:
    changed = head(('"80.50%"', '"90.00%"'))
    result = gate(BASE, changed)
    lines = PARAMETERS.replace('"80.50%"', '"90.00%"').splitlines()
    for finding in result.findings:
        assert finding.line is not None
        assert lines[finding.line - 1] == 'collateral_factor = "90.00%"'
        assert (finding.base, finding.head) == ("80.50%", "90.00%")


def test_the_document_is_json_and_holds_every_rule() -> None:
    result = gate(BASE, head(('"80.50%"', '"8050%"')), stress=make_stress({MEAN: (1.0, 3.0, 2.0)}))
    document = json.loads(readable_json(result.document()))
    assert document["verdict"] == "fail"
    assert set(document["checked"]) == {rule.code for rule in RULES}
    assert {f["severity"] for f in document["findings"]} == {"error"}


def test_hostile_text_is_cut_and_holds_no_control_character() -> None:
    changed = head(('"80.50%"', '"\\u001b[2J' + "x" * 5000 + '"'))
    [finding] = only(gate(BASE, changed), "U001")
    assert finding.head is not None
    assert finding.head.isprintable()
    assert len(finding.head) <= 80


def test_sets_with_impossible_or_missing_numbers_are_not_simulated() -> None:
    assert why_not_stressed(BASE, head(('"80.50%"', '"80.00%"'))) is None
    for bad in ('"8050%"', '"text"', '"-1%"'):
        reason = why_not_stressed(BASE, head(('"80.50%"', bad)))
        assert reason is not None
        assert WETH + "collateral_factor" in reason
        assert "base" in (why_not_stressed(head(('"80.50%"', bad)), BASE) or "")
    shorter = why_not_stressed(BASE, head(('collateral_factor = "80.50%"\n', "")))
    assert shorter is not None
    assert shorter.startswith(f"head cannot be simulated: it has no {WETH}collateral_factor")


def test_errors_come_first_and_order_does_not_depend_on_the_input() -> None:
    changed = head(('"80.50%"', '"90.00%"'), ('"60000 WETH"', '"6000 WETH"'))
    result = gate(BASE, changed)
    severities = [f.severity for f in result.findings]
    assert severities == sorted(severities, key=list(Severity).index)
    reversed_head = ParameterSet(dict(reversed(changed.values.items())), changed.lines)
    assert gate(BASE, reversed_head) == result


def test_the_rules_import_nothing_heavy() -> None:
    code = (
        "import sys; import risk.gate.rules, risk.protocols.proposal; "
        "print([m for m in ('arch', 'pandas', 'scipy.stats', 'numba', 'eth_abi', 'eth_utils') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_context_without_anything_but_sets_is_enough_for_the_files_own_rules() -> None:
    result = run_gate(GateContext(BASE, BASE, GOVERNANCE))
    assert not result.failed
    assert result.checked["C001"] == len(BASE)
