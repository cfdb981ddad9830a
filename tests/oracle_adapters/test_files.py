from __future__ import annotations

import contextlib
import gzip
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle_adapters.feed import Chunk, collect, heartbeat_of, price_series
from oracle_adapters.files import PriceFile
from risk.errors import DataError, InputError, SettingsError
from risk.feed_settings import FileFeed
from risk.market import PriceSeries
from risk.units import DAY, parse_instant
from tests.oracle_adapters.contract import check_feed

PLAIN = "time,close\n2024-01-01,10\n2024-01-02,11\n2024-01-03,12.5\n2024-01-04,9\n"
BARS = {name: name for name in ("time", "open", "high", "low", "close", "volume")}


def feed(folder: Path, content: str | bytes = PLAIN, name: str = "prices.csv", **settings: Any) -> PriceFile:
    data = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(data)
    return PriceFile(FileFeed.model_validate({"kind": "files", "asset": "ETH", "path": name, **settings}), folder)


def close(source: PriceFile) -> PriceSeries:
    return next(s for s in price_series(source.spec, collect(source).rows) if s.field == "close")


def day(text: str) -> int:
    return parse_instant(text)


def refusal(source: PriceFile) -> DataError:
    with pytest.raises(DataError) as caught:
        collect(source)
    assert caught.value.file == source._settings.path
    assert caught.value.exit_code == 2
    return caught.value


class TestContract:
    def test_csv(self, tmp_path: Path) -> None:
        check_feed(feed(tmp_path))

    def test_gzip(self, tmp_path: Path) -> None:
        check_feed(feed(tmp_path, gzip.compress(PLAIN.encode()), "prices.csv.gz"))

    def test_parquet(self, tmp_path: Path) -> None:
        path = tmp_path / "prices.parquet"
        rows = "SELECT DATE '2024-01-01' + CAST(i AS INTEGER) AS time, 10.0 + i AS close FROM range(5) t(i)"
        duckdb.execute(f"COPY ({rows}) TO '{path}'")
        source = feed(tmp_path, path.read_bytes(), "prices.parquet")
        check_feed(source)
        assert close(source).value.tolist() == [10, 11, 12, 13, 14]


class TestTimes:
    def test_a_bar_is_known_at_its_end(self, tmp_path: Path) -> None:
        series = close(feed(tmp_path))
        assert series.observed_at[0] == series.known_at[0] == day("2024-01-02")

    def test_a_stamp_may_mark_the_close(self, tmp_path: Path) -> None:
        assert close(feed(tmp_path, stamp="close")).observed_at[0] == day("2024-01-01")

    @pytest.mark.parametrize(
        "stamp",
        ["1704067200", "1704067200000", "1704067200000000", "1.7040672e9", "2024-01-01", "2024-01-01 00:00:00",
         "2024-01-01T00:00:00Z", "2024-01-01 00:00:00+00:00", "2024-01-01T02:00:00+02:00", " 2024-01-01 "],
    )  # fmt: skip
    def test_every_way_to_write_a_time_is_read(self, tmp_path: Path, stamp: str) -> None:
        assert close(feed(tmp_path, f"time,close\n{stamp},10\n")).observed_at.tolist() == [day("2024-01-02")]

    def test_seconds_and_milliseconds_may_be_mixed(self, tmp_path: Path) -> None:
        series = close(feed(tmp_path, "time,close\n1704067200,10\n1704153600000,11\n"))
        assert series.observed_at.tolist() == [day("2024-01-02"), day("2024-01-03")]

    def test_the_last_millisecond_of_a_bar_belongs_to_its_end(self, tmp_path: Path) -> None:
        series = close(feed(tmp_path, "time,close\n1704153599999,10\n", stamp="close"))
        assert series.observed_at.tolist() == [day("2024-01-02")]

    def test_days_of_a_civil_zone_end_at_its_midnight_and_have_23_to_25_hours(self, tmp_path: Path) -> None:
        text = "time,close\n" + "".join(f"2024-03-{d},1\n" for d in range(29, 32)) + "2024-04-01,2\n"
        series = close(feed(tmp_path, text, timezone="Europe/Berlin"))
        ends = [datetime.fromtimestamp(t, tz=UTC).hour for t in series.observed_at.tolist()]
        assert ends == [23, 23, 22, 22]
        assert np.diff(series.observed_at).tolist() == [DAY, DAY - 3600, DAY]
        assert len(series.log_returns()[1]) == 3, "a civil day is one bar"

    def test_a_time_with_its_own_zone_ignores_the_feeds(self, tmp_path: Path) -> None:
        series = close(feed(tmp_path, "time,close\n2024-01-01T00:00:00Z,10\n", timezone="Asia/Tokyo"))
        assert series.observed_at.tolist() == [day("2024-01-02")]

    def test_compact_dates_are_read_when_they_are_announced(self, tmp_path: Path) -> None:
        text = "time,close\n20240101,10\n"
        assert close(feed(tmp_path, text, time_unit="date")).observed_at.tolist() == [day("2024-01-02")]
        assert "time_unit" in str(refusal(feed(tmp_path, text)))

    @pytest.mark.parametrize(
        "stamp", ["yesterday", "", "1.5", "2024-13-01", "99999999999999999999", "0", "-1", "1e400"]
    )
    def test_a_time_that_cannot_be_is_named(self, tmp_path: Path, stamp: str) -> None:
        error = refusal(feed(tmp_path, f"time,close\n2024-01-01,10\n{stamp},11\n"))
        assert error.field == "row 3, column time"

    def test_an_unknown_zone_is_a_settings_error(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="unknown time zone"):
            feed(tmp_path, timezone="Europe/Atlantis")

    def test_start_and_stop_cut_in_the_feeds_own_zone_and_are_counted(self, tmp_path: Path) -> None:
        source = feed(tmp_path, start="2024-01-02", stop="2024-01-04", timezone="Europe/Berlin")
        chunk = collect(source)
        assert chunk.rows["value"].tolist() == [11, 12.5]
        assert chunk.counted == {"cut": 2}

    def test_a_stop_that_is_no_date_is_a_settings_error(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="not a date"):
            feed(tmp_path, stop="soon")


class TestShape:
    def test_ohlcv_under_foreign_names(self, tmp_path: Path) -> None:
        text = "Date,O,H,L,C,V\n2024-01-01,10,12,9,11,0\n"
        columns = {"time": "Date", "open": "O", "high": "H", "low": "L", "close": "C", "volume": "V"}
        rows = collect(feed(tmp_path, text, columns=columns)).rows
        assert dict(zip(rows["field"].tolist(), rows["value"].tolist(), strict=True)) == {
            "open": 10, "high": 12, "low": 9, "close": 11, "volume": 0,
        }  # fmt: skip

    def test_empty_trailing_columns_and_a_repeated_header_name(self, tmp_path: Path) -> None:
        text = "time,close,ignore,time.1,time\n2024-01-01,10,0,,\n2024-01-02,11,0,,,,\n"
        assert close(feed(tmp_path, text)).value.tolist() == [10, 11]

    def test_newest_first_is_sorted_and_counted(self, tmp_path: Path) -> None:
        chunk = collect(feed(tmp_path, "time,close\n2024-01-03,12\n2024-01-02,11\n2024-01-01,10\n"))
        assert chunk.rows["value"].tolist() == [10, 11, 12]
        assert chunk.counted == {"unsorted": 2}

    def test_a_repeated_row_is_dropped_and_counted(self, tmp_path: Path) -> None:
        chunk = collect(feed(tmp_path, PLAIN + "2024-01-02,11.0\n"))
        assert len(chunk.rows) == 4
        assert chunk.counted["duplicates"] == 1

    def test_rows_that_disagree_are_named_both(self, tmp_path: Path) -> None:
        error = refusal(feed(tmp_path, PLAIN + "2024-01-02,11.5\n"))
        assert "rows 3 and 6 disagree" in str(error)
        assert error.field == "row 6, column close"

    def test_windows_line_ends_a_byte_order_mark_quotes_and_blank_lines(self, tmp_path: Path) -> None:
        text = '\ufefftime,close\r\n\r\n"2024-01-01","10"\r\n2024-01-02,11\r\n\r\n'
        assert close(feed(tmp_path, text)).value.tolist() == [10, 11]

    def test_the_row_named_is_the_line_of_the_file(self, tmp_path: Path) -> None:
        assert refusal(feed(tmp_path, "time,close\n\n2024-01-01,10\n\n2024-01-02,x\n")).field == "row 5, column close"

    def test_parquet_of_times_with_and_without_zone_and_of_numbers(self, tmp_path: Path) -> None:
        for expression in (
            "TIMESTAMP '2024-01-01'", "TIMESTAMPTZ '2024-01-01 00:00:00+00'", "TIMESTAMP_NS '2024-01-01'",
            "1704067200", "1704067200000", "'2024-01-01'",
        ):  # fmt: skip
            path = tmp_path / "prices.parquet"
            duckdb.execute(f"COPY (SELECT {expression} AS time, 0.1::DOUBLE AS close) TO '{path}'")
            series = close(feed(tmp_path, path.read_bytes(), "prices.parquet"))
            assert series.observed_at.tolist() == [day("2024-01-02")]
            assert series.value.tolist() == [0.1]


class TestRawIntegers:
    def test_they_are_divided_by_their_power_of_ten_and_rounded_once(self, tmp_path: Path) -> None:
        raw = "time,close,volume\n2024-01-01,229750276106,3\n2024-01-02,999692734093987600,4\n"
        columns = {"time": "time", "close": "close", "volume": "volume"}
        source = feed(tmp_path, raw, decimals=8, columns=columns)
        assert close(source).value.tolist() == [2297.50276106, 9996927340.939876]
        volume = next(s for s in price_series(source.spec, collect(source).rows) if s.field == "volume")
        assert volume.value.tolist() == [3, 4], "a volume is no price"

    @pytest.mark.parametrize("cell", ["2297.5", "1e11"])
    def test_what_is_no_raw_integer_is_named(self, tmp_path: Path, cell: str) -> None:
        error = refusal(feed(tmp_path, f"time,close\n2024-01-01,{cell}\n", decimals=8))
        assert error.message == "not a raw integer with 8 decimals"
        assert error.field == "row 2, column close"

    def test_a_heartbeat_is_told(self, tmp_path: Path) -> None:
        assert heartbeat_of(feed(tmp_path, heartbeat="1h")) == 3600
        assert heartbeat_of(feed(tmp_path)) is None


class TestHostile:
    @pytest.mark.parametrize(
        ("cell", "said"),
        [("abc", "not a number"), ("", "the cell is empty"), ("NaN", "not a number"), ("inf", "not a number"),
         ("1e999", "not a number"), ("1_0", "not a number"), ("1 000", "not a number"), ("٣", "not a number"),
         ("0", "above zero"), ("-5", "above zero"), ("0x1f", "not a number")],
    )  # fmt: skip
    def test_a_value_that_is_no_price_is_named(self, tmp_path: Path, cell: str, said: str) -> None:
        error = refusal(feed(tmp_path, f"time,close\n2024-01-01,10\n2024-01-02,{cell}\n"))
        assert said in str(error)
        assert error.field == "row 3, column close"

    def test_a_negative_volume_is_named(self, tmp_path: Path) -> None:
        text = "time,close,volume\n2024-01-01,10,-1\n"
        error = refusal(feed(tmp_path, text, columns={"time": "time", "close": "close", "volume": "volume"}))
        assert error.field == "row 2, column volume"
        assert "negative amount" in str(error)

    @pytest.mark.parametrize(
        ("content", "said"),
        [(b"", "the file is empty"), (b"  \n\n", "the file is empty"), (b"time,close\n", "a header and no rows"),
         (b"time,price\n2024-01-01,1\n", "a column is missing"), (b"time,close\n2024-01-01\n", "1 cells"),
         (b"time,close\n2024-01-01,1,2\n", "3 cells"), (b"\xff\xfe\x00", "not text"), (b'time,close\n"2024', "not CSV"),
         (b"PAR1 and no more", "Parquet file is damaged"), (b"\x1f\x8b and no more", "gzip file is damaged")],
    )  # fmt: skip
    def test_a_file_that_is_no_price_file(self, tmp_path: Path, content: bytes, said: str) -> None:
        assert said in str(refusal(feed(tmp_path, content)))

    def test_a_missing_column_is_named_beside_those_there_are(self, tmp_path: Path) -> None:
        error = refusal(feed(tmp_path, "time,price\n2024-01-01,1\n"))
        assert error.field == "column close"
        assert "time, price" in str(error)

    def test_a_truncated_gzip(self, tmp_path: Path) -> None:
        whole = gzip.compress(PLAIN.encode() * 50)
        assert "damaged" in str(refusal(feed(tmp_path, whole[: len(whole) // 2], "prices.csv.gz")))

    def test_a_gz_name_on_plain_text(self, tmp_path: Path) -> None:
        assert "damaged" in str(refusal(feed(tmp_path, PLAIN, "prices.csv.gz")))

    def test_a_missing_file_and_a_folder(self, tmp_path: Path) -> None:
        source = feed(tmp_path)
        (tmp_path / "prices.csv").unlink()
        assert "no such file" in str(refusal(source))
        (tmp_path / "prices.csv").mkdir()
        assert "cannot be read" in str(refusal(source))

    def test_a_parquet_file_without_the_column_and_with_an_absent_value(self, tmp_path: Path) -> None:
        path = tmp_path / "prices.parquet"
        duckdb.execute(f"COPY (SELECT '2024-01-01' AS time, 1.0 AS price) TO '{path}'")
        assert refusal(feed(tmp_path, path.read_bytes(), "prices.parquet")).field == "column close"
        duckdb.execute(f"COPY (SELECT '2024-01-01' AS time, NULL::DOUBLE AS close) TO '{path}'")
        assert refusal(feed(tmp_path, path.read_bytes(), "prices.parquet")).field == "row 1, column close"

    @pytest.mark.parametrize("columns", [{"time": "t"}, {"close": "c"}, {"time": "t", "close": "c", "vwap": "v"}])
    def test_a_wrong_mapping_is_a_settings_error(self, tmp_path: Path, columns: dict[str, str]) -> None:
        with pytest.raises(SettingsError, match="not mapped rightly"):
            feed(tmp_path, columns=columns)

    @given(st.binary(max_size=200))
    def test_no_bytes_at_all_lead_to_another_error(
        self, tmp_path_factory: pytest.TempPathFactory, content: bytes
    ) -> None:
        source = feed(tmp_path_factory.mktemp("fuzz"), b"time,close\n" + content)
        with contextlib.suppress(InputError):
            assert isinstance(collect(source), Chunk)


class TestNoLookAhead:
    @pytest.mark.parametrize("later", ["-1", "text", "", "nan", "11.5"])
    def test_whatever_stands_in_later_rows_changes_nothing(self, tmp_path: Path, later: str) -> None:
        stop = day("2024-01-03") + 1
        clean = collect(feed(tmp_path), 0, stop)
        dirty = collect(feed(tmp_path, PLAIN + f"2024-01-03,{later}\n2024-01-03,77\n2024-01-05,{later}\n"), 0, stop)
        assert dirty.rows.digest() == clean.rows.digest()
        assert dirty.counted == clean.counted
