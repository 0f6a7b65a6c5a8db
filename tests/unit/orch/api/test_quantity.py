from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch.api import quantity
from tests.unit.orch.api.objects import SLOW_MACHINE


@pytest.mark.parametrize(
    ("written", "canonical", "milli"),
    [
        ("0", "0", 0),
        (1, "1", 1000),
        (0.5, "500m", 500),
        ("1.5", "1500m", 1500),
        ("1000m", "1", 1000),
        ("100000", "100k", 100_000_000),
        ("1500", "1500", 1_500_000),
        ("1e3", "1e3", 1_000_000),
        ("1E", "1E", 10**21),
        ("12e6", "12e6", 12 * 10**9),
        ("1.5Gi", "1536Mi", 1536 * 2**20 * 1000),
        ("1024Ki", "1Mi", 2**20 * 1000),
        ("0.5Ki", "512", 512_000),
        ("0.1Gi", "107374182400m", 107374182400),
        ("-5", "-5", -5000),
        (".5", "500m", 500),
        ("0.0000000001", "1n", 1),
        ("100Ei", "9223372036854775807", (2**63 - 1) * 1000),
    ],
)
def test_canonical_text_and_amount(written: str | float, canonical: str, milli: int) -> None:
    assert quantity.canonical(written) == canonical
    assert quantity.milli(written) == milli


@pytest.mark.parametrize("text", ["", "1x", "1kk", "Ki", "1.2.3", "1e", "--1", "1 ", "0x10", "1e12345678901", "1\n"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match"):
        quantity.parse(text)


def test_bytes_are_rounded_up() -> None:
    assert quantity.value("0.1Gi") == 107374183
    assert quantity.value("1m") == 1


amounts = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "-"]),
    st.from_regex(r"[0-9]{1,9}(\.[0-9]{1,4})?", fullmatch=True),
    st.sampled_from(["", "m", "u", "k", "M", "Ki", "Mi", "Gi", "e3", "E-2"]),
)


@SLOW_MACHINE
@given(amounts)
def test_canonical_text_keeps_the_amount_and_is_stable(text: str) -> None:
    canonical = quantity.canonical(text)
    assert quantity.parse(canonical) == quantity.parse(text)
    assert quantity.canonical(canonical) == canonical
    assert "." not in canonical


@SLOW_MACHINE
@given(st.integers(min_value=0, max_value=2**60))
def test_amounts_of_units_are_written_canonically(units: int) -> None:
    assert quantity.parse(quantity.from_milli(units)) == Decimal(units) / 1000
    assert quantity.value(quantity.from_value(units)) == units
    assert quantity.value(quantity.from_value(units, binary=False)) == units


def test_resource_lists_are_no_finer_than_thousandths() -> None:
    assert quantity.canonical_map({"cpu": "0.0001", "memory": 1024}) == {"cpu": "1m", "memory": "1024"}
    canonical = {"cpu": "1m", "memory": "1Gi"}
    assert quantity.canonical_map(canonical) is canonical
