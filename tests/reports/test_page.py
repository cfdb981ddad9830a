"""The proposal folder: one content in every form, whole links, no network, and no way in for markup."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pytest

from reports import svg
from reports.content import stored_integer
from risk.artifact import Table
from risk.market import MarketSnapshot
from risk.parameters import Key, Malformed, ParameterSet
from risk.protocols.proposal import encode_proposal
from risk.units import Ratio, TokenAmount
from tests.factories import make_calibration, make_settings, make_snapshot
from tests.reports.artifacts import IDENTITY, make_proposal, make_recommendation, make_stress

VOID = {"meta", "link", "br", "hr", "img", "input"}
HOSTILE = "</td><script>alert(1)</script> | \"x\" & 'y'\n\n# [a](https://evil.example) `z` <img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """A parsed page: ids, links, elements and the numbers under each id; fails when elements do not balance."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, str]] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.numbers: dict[str, list[tuple[str, str]]] = {}
        self.tags: list[str] = []
        self._number: str | None = None
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        assert len(found) == len(attrs), f"an attribute twice in {tag}"
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in found.items()]
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "a":
            self.links.append(found["href"])
        if tag == "data":
            self._number = found["value"]
        if tag not in VOID:
            self.open.append((tag, found.get("id", "")))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"{tag} is closed and was not open"
        assert self.open[-1][0] == tag, f"{tag} is closed inside {self.open[-1][0]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self._number is not None:
            for _, ident in self.open:
                if ident:
                    self.numbers.setdefault(ident, []).append((self._number, data))
            self._number = None


@pytest.fixture(scope="module")
def proposal() -> dict[str, bytes]:
    return make_proposal()


@pytest.fixture(scope="module")
def page(proposal: dict[str, bytes]) -> Page:
    return Page(proposal["index.html"].decode())


@pytest.fixture(scope="module")
def document(proposal: dict[str, bytes]) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(proposal["proposal.json"])
    return loaded


def _parameters(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for subject in document["subjects"]:
        yield from subject["parameters"]


def test_the_same_artifacts_give_the_same_bytes(proposal: dict[str, bytes]) -> None:
    assert make_proposal() == proposal
    assert {"proposal.md", "proposal.json", "calldata.json", "index.html"} <= set(proposal)


def test_bytes_do_not_depend_on_the_users_matplotlib_settings(proposal: dict[str, bytes]) -> None:
    import matplotlib as mpl

    with mpl.rc_context({"font.size": 31, "axes.grid": False, "lines.linewidth": 9}):
        assert make_proposal() == proposal


def test_every_number_has_its_key_as_anchor_and_a_derivation(page: Page, document: dict[str, Any]) -> None:
    for parameter in _parameters(document):
        assert parameter["key"] in page.ids
        assert f"how/{parameter['key']}" in page.ids
        assert f"#how/{parameter['key']}" in page.links


def test_ids_are_unique_and_internal_links_resolve(page: Page) -> None:
    assert len(page.ids) == len(set(page.ids))
    internal = [link for link in page.links if link.startswith("#")]
    assert len(internal) > 50
    assert {unquote(link[1:]) for link in internal} <= set(page.ids)
    used = [value[1:] for tag, name, value in page.attributes if tag == "use" and name == "href"]
    labels = [part for _, name, value in page.attributes if name == "aria-labelledby" for part in value.split()]
    assert used
    assert set(used) | set(labels) <= set(page.ids)


def test_nothing_is_loaded_from_anywhere(page: Page, proposal: dict[str, bytes]) -> None:
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in ("src", "href", "action", "poster", "data", "srcset"):
            assert value.startswith("#"), (tag, name, value)
    text = proposal["index.html"].decode()
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) == {"http://www.w3.org/2000/svg"}


def test_page_and_text_show_the_numbers_of_the_document(
    page: Page, document: dict[str, Any], proposal: dict[str, bytes]
) -> None:
    text = proposal["proposal.md"].decode()
    for parameter in _parameters(document):
        shown = [parameter[name] for name in ("in_force", "next_step", "target")]
        if parameter["status"] == "refused":
            shown.pop()
        expected = [(n["value"], n["text"]) for n in shown if n is not None]
        interval = parameter["interval"]
        if interval is not None:
            expected.append((f"{interval['lower']} {interval['upper']}", interval["text"]))
        assert page.numbers[parameter["key"]] == expected
        terms = [t for term in parameter["terms"] for t in (term["number"], term["after"])]
        found = page.numbers.get(f"how/{parameter['key']}", [])
        assert found[: len(terms)] == [(str(n["value"]), n["text"]) for n in terms]
        brackets = [f"{n['text']} [{n['stored']}]" if n["stored"] else n["text"] for n in shown if n is not None]
        line = next(row for row in _rows_of(text, "Specification") if _is_row(row, parameter, document))
        assert all(cell in line for cell in brackets)
    values = [v for group in document["stress"]["budgets"] for row in group["lines"] for v in row["values"].values()]
    assert values
    for value in values:
        assert (str(value["number"]["value"]), value["number"]["text"]) in page.numbers["verdict"]
        assert value["number"]["text"] in text


def _rows_of(text: str, heading: str) -> list[str]:
    section = text.split(f"\n## {heading}\n")[1].split("\n## ", maxsplit=1)[0]
    return [line for line in section.splitlines() if line.startswith("|")]


def _is_row(row: str, parameter: dict[str, Any], document: dict[str, Any]) -> bool:
    key = Key.parse(parameter["key"])
    tier = f" tier {key.path[1]}" if key.path else ""
    return row.startswith(f"| {key.market} | {key.subject}{tier} | {parameter['name']} |")


def test_the_target_of_the_document_is_that_of_the_recommendation(document: dict[str, Any]) -> None:
    recommendation = make_recommendation()
    for parameter in _parameters(document):
        value = recommendation.target.values[Key.parse(parameter["key"])]
        assert not isinstance(value, Malformed)
        if parameter["target"] is not None:
            assert parameter["target"]["value"] == str(value.value)


def test_stored_integers_are_those_of_the_calldata(proposal: dict[str, bytes], document: dict[str, Any]) -> None:
    shown = {p["key"]: p["next_step"] or p["in_force"] for p in _parameters(document)}
    calls = json.loads(proposal["calldata.json"])["calls"]
    assert calls
    for call in calls:
        numbers = [call["arguments"][name] for name in ("ltv", "liquidationThreshold", "liquidationBonus")]
        assert [int(shown[key]["stored"]) for key in call["keys"]] == numbers


def test_stored_integers_only_where_a_codec_stores_them() -> None:
    from decimal import Decimal

    bonus = Key.parse("lending/reserve/WETH/liquidation_bonus")
    assert stored_integer(bonus, Ratio(Decimal("0.05")), "aave_v3") == 10_500
    assert stored_integer(bonus, Ratio(Decimal(0)), "aave_v3") == 0
    assert stored_integer(bonus, Ratio(Decimal("0.00005")), "aave_v3") is None
    assert stored_integer(bonus, Ratio(Decimal("0.05")), "generic") is None
    assert stored_integer(bonus, Malformed("5", "no unit"), "aave_v3") is None
    assert stored_integer(bonus.sibling("supply_cap"), TokenAmount(Decimal(7), "WETH"), "aave_v3") == 7


def test_figures_carry_everything_that_says_what_they_are(document: dict[str, Any]) -> None:
    figures = document["models"]["figures"]
    assert {"Measure", "Confidence", "Horizon", "Side", "Method", "Window", "90 % interval"} <= set(figures["columns"])
    assert figures["rows"]
    assert all(len(row) == len(figures["columns"]) for row in figures["rows"])


def test_unencoded_changes_refusals_and_missing_models_are_counted() -> None:
    calibration = make_calibration()
    missing = Table.from_rows({"subject": "str", "reason": "str"}, [("FTT", "only 20 returns")])
    recommendation = make_recommendation()
    key = Key.parse("perps/market/ETH-USD/tiers/1/initial_margin")
    moved = ParameterSet.from_texts({str(key): "11.00%"}).values[key]
    stepped = replace(recommendation, next_step=recommendation.next_step.replace({key: moved}))
    files = make_proposal(calibration=replace(calibration, unavailable=missing), recommendation=stepped)
    page, text = files["index.html"].decode(), files["proposal.md"].decode()
    for content in (page, text):
        assert "only 20 returns" in content
        assert "has no codec" in content
        assert "1 refused" in content
    assert "Executing the calls does not make these 1 changes" in page


def test_an_empty_stress_is_a_failure_that_is_shown() -> None:
    stress = make_stress()
    empty = {name: getattr(stress, name).where(set_id="nobody") for name in ("rows", "curve", "losses")}
    files = make_proposal(stress=replace(stress, **empty, scenarios={}, facts={}))
    Page(files["index.html"].decode())
    assert "No budget was tested at the target" in files["index.html"].decode()
    assert "**Fail.**" in files["proposal.md"].decode()
    assert not json.loads(files["proposal.json"])["verdict"]["passed"]


def _hostile() -> dict[str, bytes]:
    """A proposal in which every free text of the inputs tries to break out."""
    settings = make_settings()
    snapshot = make_snapshot()
    quality = Table.from_rows(
        {"series": "str", "check": "str", "verdict": "str", "count": "i8", "detail": "str"},
        [(HOSTILE, HOSTILE, "bad", 1, HOSTILE)],
    )
    series = tuple(replace(s, source=HOSTILE, id=HOSTILE) for s in snapshot.series)
    hostile: MarketSnapshot = replace(snapshot, quality=quality, series=series)
    calibration = make_calibration(snapshot, settings)
    calibration = replace(
        calibration,
        unavailable=Table.from_rows({"subject": "str", "reason": "str"}, [(HOSTILE, HOSTILE)]),
        assets={HOSTILE: calibration.assets["ETH"]},
        dependence=replace(calibration.dependence, status=HOSTILE),
    )
    recommendation = make_recommendation(note=HOSTILE)
    derivations = tuple(
        replace(
            d,
            binding=HOSTILE,
            emergency=HOSTILE,
            undercoverage=HOSTILE,
            refusal=HOSTILE if d.refusal else None,
            terms=tuple(replace(t, name=HOSTILE, source=HOSTILE) for t in d.terms),
        )
        for d in recommendation.derivations
    )
    facts = {"binding": {HOSTILE: HOSTILE}, HOSTILE: [HOSTILE, {HOSTILE: 1.0}], "sensitivity": {HOSTILE: HOSTILE}}
    stress = replace(make_stress(), scenarios={"black_thursday_2020": {"title": HOSTILE, HOSTILE: [HOSTILE]}})
    return make_proposal(
        settings=settings,
        snapshot=hostile,
        calibration=calibration,
        recommendation=replace(recommendation, derivations=derivations, facts=facts),
        stress=replace(stress, facts={HOSTILE: HOSTILE}),
        identity={**IDENTITY, HOSTILE: HOSTILE},
    )


def test_hostile_texts_stay_texts() -> None:
    files = _hostile()
    parsed = Page(files["index.html"].decode())
    assert "script" not in parsed.tags
    assert "img" not in parsed.tags
    assert not [name for _, name, _ in parsed.attributes if name.startswith("on")]
    assert not [link for link in parsed.links if "evil" in link]
    for name, data in files.items():
        if name.endswith(".svg"):
            tags = {element.tag.rpartition("}")[2] for element in ET.fromstring(data).iter()}
            assert not tags & {"script", "img", "td"}, name
    _assert_markdown_tables_whole(files["proposal.md"].decode())


def test_markdown_tables_are_whole(proposal: dict[str, bytes]) -> None:
    _assert_markdown_tables_whole(proposal["proposal.md"].decode())


def _assert_markdown_tables_whole(text: str) -> None:
    """Rows of a table have as many cells as its head, and outside code no markup of a value is live."""
    width = 0
    for line in text.split("\n---\n", 1)[1].splitlines():
        if line.startswith("|"):
            cells = len(re.findall(r"(?<!\\)\|", line)) - 1
            width = width or cells
            assert cells == width, line
        else:
            width = 0
        bare = re.sub(r"(`+) .*? \1|(`+)[^`].*?[^`]?\2", "", line)
        assert not re.search(r"(?<!\\)<", bare), line
        assert not re.search(r"(?<!\\)\]\((?!https://creativecommons)", bare), line
        assert not line.startswith("# "), line


def test_the_front_matter_is_one_quoted_line_a_field(proposal: dict[str, bytes]) -> None:
    head = proposal["proposal.md"].decode().split("---\n")[1]
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    assert json.loads(fields["title"]) == "Risk parameter update for lending and perps, 2025-12-31"


def test_the_skeleton_of_the_forum_is_complete(proposal: dict[str, bytes]) -> None:
    headings = re.findall(r"^## (.*)$", proposal["proposal.md"].decode(), flags=re.MULTILINE)
    assert headings == [
        "Simple Summary", "Motivation", "Specification", "Derivations", "Stress", "Models and track record", "Data",
        "Assumptions and limitations", "How to reproduce", "Copyright",
    ]  # fmt: skip


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colours", [svg.LIGHT, svg.DARK], ids=["light", "dark"])
def test_text_has_contrast(colours: dict[str, str]) -> None:
    """WCAG 2.2, success criterion 1.4.3: 4.5 for text."""
    for text in ("ink", "muted", "accent", "second", "pass", "fail", "note"):
        for ground in ("paper", "panel"):
            light, dark = sorted((_luminance(colours[text]), _luminance(colours[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)


def test_the_encoded_proposal_is_the_calldata_file(proposal: dict[str, bytes]) -> None:
    snapshot, recommendation, settings = make_snapshot(), make_recommendation(), make_settings()
    encoded = encode_proposal(snapshot.in_force.diff(recommendation.next_step), snapshot.in_force, settings)
    assert json.loads(proposal["calldata.json"]) == json.loads(json.dumps(encoded.document(), default=str))


def test_every_form_says_the_same_sentence_and_leads_with_what_cannot_wait(proposal: dict[str, bytes]) -> None:
    document = json.loads(proposal["proposal.json"])
    sentence = document["verdict"]["sentence"]
    assert sentence.startswith("Emergency: set LINK's collateral factor to 0 by governance or guardian.")
    page, text = html.unescape(proposal["index.html"].decode()), proposal["proposal.md"].decode()
    assert sentence in page
    assert sentence in text
    for form in (page, text):
        assert form.index("Emergency: set LINK") < form.index("a realised move") < form.index("The next step still")
    assert page.index("The next step still breaks but improves") < page.index('<div class="box"')
    assert text.index("The next step still breaks but improves") < text.index("Lower the collateral factor")


def _charts(proposal: dict[str, bytes]) -> dict[str, str]:
    page = html.unescape(proposal["index.html"].decode())
    return {m[1]: m[2] for m in re.finditer(r"<figure><h3>(.*?)</h3>.*?<figcaption>(.*?)</figcaption>", page, re.S)}


def test_only_charts_with_bands_speak_of_bands() -> None:
    recommendation = make_recommendation()
    bare = tuple(
        replace(d, lower=None, upper=None) if d.key.parameter == "collateral_factor" else d
        for d in recommendation.derivations
    )
    captions = _charts(make_proposal(recommendation=replace(recommendation, derivations=bare)))
    assert "Bands" in captions["Liquidation threshold: in force, next step and target"]
    assert "Bands" not in captions["Collateral factor: in force, next step and target"]


def test_every_assumption_says_what_it_is_about() -> None:
    recommendation = make_recommendation()
    own = tuple(
        replace(d, notes=(f"run-off of {d.key.subject}", "for all")) if d.key.kind == "reserve" else d
        for d in recommendation.derivations
    )
    files = make_proposal(recommendation=replace(recommendation, derivations=own))
    groups = {group["subject"]: group["notes"] for group in json.loads(files["proposal.json"])["assumptions"]}
    assert groups["WETH"] == ["run-off of WETH"]
    assert list(groups)[-1] == "All"
    assert {"for all", "Oracle prices are not moved by liquidations."} <= set(groups["All"])
    assert "- WETH: run-off of WETH" in files["proposal.md"].decode()
    assert re.search(r"<dt>WETH</dt><dd><ul class=\"plain\"><li>run-off of WETH", files["index.html"].decode())


def test_sensitivities_and_the_twin_are_worded_rows() -> None:
    recommendation = make_recommendation()
    twin = {"crossings": 12, "independent lives": 53, "episodes": 4, "mean loss at the target": 4.028e-05}
    binding = {"WETH": "mean loss of debt that crosses (ETH:USD)"}
    facts = {**recommendation.facts, "twin": {"WETH": twin}, "binding": binding}
    document = json.loads(make_proposal(recommendation=replace(recommendation, facts=facts))["proposal.json"])

    def row(table: dict[str, Any], subject: str) -> dict[str, str]:
        cells = next(row for row in table["rows"] if row[0] == subject)
        texts = [c["text"] if isinstance(c, dict) else c for c in cells]
        return dict(zip(table["columns"], texts, strict=True))

    assert row(document["facts"], "WETH")["Threshold with half life doubled threshold"] == "71.00 %"
    assert row(document["twin"], "WETH") == {
        "Reserve": "WETH", "Crossings": "12", "Independent lives": "53", "Episodes": "4",
        "Mean loss at the target": "0.004 %", "Appetite": "0.010 %", "Kept in history": "yes",
        "Binds the target": "yes",
    }  # fmt: skip
    assert not [name for name, _ in document["other_facts"]["rows"] if "win" in name]


def test_positions_and_depth_behind_the_sets_are_rows_with_a_column_a_set() -> None:
    stress = make_stress()
    facts = {
        "books": {name: {"accounts": 40, "debt_usd": 1.5e6} for name in ("in_force", "target")},
        "depth": {"ETH": {"origin": "declared", "note": "half is left", "usd": {"in_force": 1e6, "target": 2e6}}},
    }
    document = json.loads(make_proposal(stress=replace(stress, facts=facts))["proposal.json"])["stress"]
    texts = [[c["text"] if isinstance(c, dict) else c for c in row] for row in document["books"]["rows"]]
    assert texts == [["Accounts", "40", "40"], ["Debt", "1,500,000 USD", "1,500,000 USD"]]
    assert document["depth"]["columns"] == ["Collateral", "In force", "Target", "Origin", "Note"]
    assert document["facts"]["rows"] == []


def test_figures_of_different_things_have_different_names(proposal: dict[str, bytes]) -> None:
    text = proposal["proposal.md"].decode()
    assert "any position falls short" not in text
    assert "Chance that any account of the book falls short" in text
    assert "Chance that a position of the reference book falls short" in text
