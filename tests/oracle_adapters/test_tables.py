from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oracle_adapters.tables import read_book, read_changed_at, read_depth
from risk.errors import DataError
from risk.market import Impact, Origin
from risk.parameters import Key
from risk.units import parse_instant

POSITIONS = "account,asset,collateral,debt\na,ETH,10,0\na,USDC,,5000\nb,BTC,1,0\nb,USDC,0,30000\n"
DEPTH = "pair,kind,origin,size_usd,impact\nETH/USD,average,declared,1e6,0.01\nETH/USD,average,declared,5e6,0.05\n"
CHANGED = "key,changed_at\naave/reserve/WETH/supply_cap,2025-12-01\n"


def written(folder: Path, text: str) -> tuple[Path, str]:
    path = folder / "table.csv"
    path.write_text(text)
    return path, "table.csv"


def refusal(call: Callable[..., Any], *arguments: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        call(*arguments)
    assert caught.value.file == "table.csv"
    return caught.value


class TestBook:
    def read(self, folder: Path, text: str, assets: tuple[str, ...] = ("BTC", "ETH", "USDC"), as_of: int | None = None):
        return read_book(*written(folder, text), assets, as_of)

    def test_rows_become_accounts(self, tmp_path: Path) -> None:
        book, unpriced = self.read(tmp_path, POSITIONS)
        assert (book.accounts, book.assets, book.origin) == (("a", "b"), ("BTC", "ETH", "USDC"), Origin.DECLARED)
        assert book.collateral.tolist() == [[0, 10, 0], [1, 0, 0]]
        assert book.debt.tolist() == [[0, 0, 5000], [0, 0, 30000]]
        assert unpriced == {}

    def test_an_account_with_an_asset_without_a_price_is_left_out_whole_and_counted(self, tmp_path: Path) -> None:
        book, unpriced = self.read(tmp_path, POSITIONS, ("ETH", "USDC"))
        assert book.accounts == ("a",)
        assert unpriced == {"BTC": 1}

    def test_the_last_vintage_known_counts(self, tmp_path: Path) -> None:
        text = (
            "known_at,account,asset,collateral,debt\n2025-01-01,a,ETH,1,0\n2025-02-01,b,ETH,2,0\n2025-03-01,c,ETH,3,0\n"
        )
        for day, expected in (("2025-02-15", ("b",)), ("2025-02-01", ("b",)), ("2025-01-31", ("a",))):
            book, _ = self.read(tmp_path, text, as_of=parse_instant(day))
            assert book.accounts == expected
        assert self.read(tmp_path, text, as_of=parse_instant("2024-12-31"))[0] is None
        assert self.read(tmp_path, text)[0].accounts == ("c",)

    @pytest.mark.parametrize(
        ("row", "field", "said"),
        [("c,ETH,-1,0", "row 6, column collateral", "negative"), ("c,ETH,1,x", "row 6, column debt", "not a number"),
         ("c,ETH,nan,0", "row 6, column collateral", "not a number"),
         ("a,ETH,1,0", "row 6, column asset", "rows 2 and 6")],
    )  # fmt: skip
    def test_a_wrong_row_is_named(self, tmp_path: Path, row: str, field: str, said: str) -> None:
        error = refusal(self.read, tmp_path, POSITIONS + row + "\n")
        assert error.field == field
        assert said in str(error)


class TestDepth:
    def test_points_become_a_curve(self, tmp_path: Path) -> None:
        curve = read_depth(*written(tmp_path, DEPTH), None)["ETH/USD"]
        assert (curve.base, curve.quote, curve.kind, curve.origin) == ("ETH", "USD", Impact.AVERAGE, Origin.DECLARED)
        assert curve.size_within(0.05) == 5e6

    def test_each_pair_has_its_own_vintages(self, tmp_path: Path) -> None:
        text = "pair,kind,origin,size_usd,impact,known_at\n" + "".join(
            f"{pair},average,measured,{size},0.05,{day}\n"
            for pair, size, day in (
                ("ETH/USD", 1, "2025-01-01"),
                ("ETH/USD", 2, "2025-02-01"),
                ("BTC/USD", 3, "2025-01-15"),
            )
        )
        path = written(tmp_path, text)
        sizes = [
            {pair: float(curve.size_usd[0]) for pair, curve in read_depth(*path, parse_instant(day)).items()}
            for day in ("2025-01-01", "2025-01-20", "2025-02-01")
        ]
        assert sizes == [{"ETH/USD": 1}, {"ETH/USD": 1, "BTC/USD": 3}, {"ETH/USD": 2, "BTC/USD": 3}]

    @pytest.mark.parametrize(
        ("row", "field", "said"),
        [("ETHUSD,average,declared,1,0.1", "row 4, column pair", "base/quote"),
         ("BTC/USD,mean,declared,1,0.1", "row 4, column kind", "unknown kind"),
         ("BTC/USD,average,guessed,1,0.1", "row 4, column origin", "unknown origin"),
         ("ETH/USD,marginal,declared,9e6,0.1", "row 4, column kind", "differ"),
         ("ETH/USD,average,declared,9e6,0.04", "row 2", "not monotone"),
         ("ETH/USD,average,declared,9e6,5%", "row 4, column impact", "not a number")],
    )  # fmt: skip
    def test_a_wrong_row_is_named(self, tmp_path: Path, row: str, field: str, said: str) -> None:
        error = refusal(read_depth, *written(tmp_path, DEPTH + row + "\n"), None)
        assert said in str(error)
        assert error.field in (field, "ETH/USD")


class TestVenues:
    HEAD = "pair,venue,kind,origin,size_usd,impact,known_at\n"

    def test_venues_are_combined_at_equal_marginal_impact(self, tmp_path: Path) -> None:
        rows = (
            "ETH/USD,book,marginal,measured,1e6,0.05,2025-01-01\nETH/USD,pool,marginal,declared,2e6,0.10,2025-01-01\n"
        )
        curve = read_depth(*written(tmp_path, self.HEAD + rows), None)["ETH/USD"]
        assert curve.kind is Impact.MARGINAL
        assert curve.origin is Origin.DECLARED
        assert [curve.size_within(m) for m in (0.025, 0.05, 0.1)] == pytest.approx([1e6, 2e6, 3e6])

    def test_one_venue_stays_as_it_is_written(self, tmp_path: Path) -> None:
        rows = "ETH/USD,book,average,measured,1e6,0.05,2025-01-01\n"
        assert read_depth(*written(tmp_path, self.HEAD + rows), None)["ETH/USD"].kind is Impact.AVERAGE

    def test_an_average_curve_that_cannot_be_combined_names_its_row(self, tmp_path: Path) -> None:
        rows = (
            "ETH/USD,a,average,measured,1e6,0.10,2025-01-01\nETH/USD,a,average,measured,2e6,0.11,2025-01-01\n"
            "ETH/USD,b,marginal,measured,1e6,0.05,2025-01-01\n"
        )
        error = refusal(read_depth, *written(tmp_path, self.HEAD + rows), None)
        assert error.field == "row 2"
        assert "no rising marginal impact" in error.message

    def test_the_worst_moment_of_the_look_back_counts(self, tmp_path: Path) -> None:
        """Depth of 4 % of USDC for USDT before, in and after March 2023: 219, 1.5 and 150 million dollars."""
        rows = "".join(
            f"USDC/USDT,pool,marginal,measured,{size},0.04,{day}\n"
            for size, day in (("219e6", "2023-03-01"), ("1.5e6", "2023-03-11"), ("150e6", "2023-03-20"))
        )
        path = written(tmp_path, self.HEAD + rows)

        def depth(day: str, lookback: int | None) -> float:
            return read_depth(*path, parse_instant(day), lookback)["USDC/USDT"].size_within(0.04)

        assert depth("2023-03-25", None) == 150e6
        assert depth("2023-03-25", 30 * 86400) == pytest.approx(1.5e6)
        assert depth("2023-03-25", 86400) == 150e6
        assert depth("2023-03-19", 86400) == 1.5e6, "what was in force when the look-back began counts"
        assert depth("2023-03-10", 30 * 86400) == 219e6, "nothing later is read"


class TestChangedAt:
    def test_dates_by_key(self, tmp_path: Path) -> None:
        key = Key("aave", "reserve", "WETH", (), "supply_cap")
        assert read_changed_at(*written(tmp_path, CHANGED)) == {key: parse_instant("2025-12-01")}

    @pytest.mark.parametrize(
        ("row", "field"),
        [("aave/reserve/WETH/cap,2025-12-01", "row 3, column key"),
         ("aave/reserve/WETH/supply_cap,2025-12-02", "row 3, column key"),
         ("aave/reserve/LINK/supply_cap,soon", "row 3, column changed_at")],
    )  # fmt: skip
    def test_a_wrong_row_is_named(self, tmp_path: Path, row: str, field: str) -> None:
        assert refusal(read_changed_at, *written(tmp_path, CHANGED + row + "\n")).field == field


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    assert refusal(read_changed_at, *written(tmp_path, "key,date\n")).field == "column changed_at"
