"""Prices and sizes in exact integers, by the venue's rules."""

import pytest
from hypothesis import given, strategies as st

from diffmm.market import Instrument, units
from diffmm.market.instrument import text


@pytest.mark.parametrize(
    ("string", "decimals", "value"),
    [("109741.0", 1, 1097410), ("0.004411", 6, 4411), ("5", 2, 500), ("0.10", 1, 1), ("0", 3, 0)],
)
def test_a_plain_decimal_is_an_exact_integer(string, decimals, value):
    assert units(string, decimals) == value


@pytest.mark.parametrize("string", ["-1", "1e5", "NaN", "", ".5", "1.", "+2", " 1", "inf", "1,0"])
def test_anything_but_a_plain_decimal_is_refused_with_what_was_found(string):
    with pytest.raises(ValueError, match="expected a plain decimal"):
        units(string, 2)


def test_more_digits_than_the_unit_has_are_refused():
    with pytest.raises(ValueError, match="at most 2 decimals"):
        units("1.234", 2)


@given(st.integers(0, 10**15), st.integers(0, 8))
def test_text_and_units_are_inverse(value, decimals):
    written = text(value, decimals)
    assert units(written, decimals) == value
    assert "e" not in written
    assert not (written.endswith("0") and "." in written)


@pytest.mark.parametrize(
    ("decimals", "price", "tick"),
    [
        (5, "109741.0", "1"),
        (5, "99999.0", "1"),
        (4, "2405.4", "0.1"),
        (0, "0.004411", "0.000001"),
        (2, "12.345", "0.001"),
        (2, "123.45", "0.01"),
        (0, "1.2345", "0.0001"),
    ],
)
def test_the_tick_keeps_five_significant_figures_and_never_passes_one(decimals, price, tick):
    at = Instrument.hyperliquid("X", decimals)
    value = units(price, at.price_decimals)
    assert at.tick(value) == units(tick, at.price_decimals)
    assert at.is_valid_price(value // at.tick(value) * at.tick(value))


def test_a_price_off_the_grid_or_at_zero_is_not_valid():
    at = Instrument.hyperliquid("BTC", 5)
    assert not at.is_valid_price(1_097_415)
    assert not at.is_valid_price(0)
    assert at.is_valid_price(1_097_410)


def test_decimals_outside_the_venue_s_range_are_refused():
    with pytest.raises(ValueError, match="szDecimals 7"):
        Instrument.hyperliquid("X", 7)


def test_notional_is_price_times_size():
    at = Instrument.hyperliquid("BTC", 5)
    assert at.usd(1_097_410, 100_000) == pytest.approx(109741.0)
