"""Resource amounts (resource.Quantity): exact parsing and the canonical text.

Numbers are exact `Decimal`s, never floats that were computed with. What is finer than a nano unit is rounded up, and
amounts beyond 2^63-1 are capped, as Kubernetes does.
"""

import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_UP, Context, Decimal
from functools import lru_cache

from orch.api.base import QUANTITY_PATTERN, Quantity

_EXACT = Context(prec=80)
_PARTS = re.compile(r"([+-]?[0-9.]+)(.*)")
_PATTERN = re.compile(QUANTITY_PATTERN)
_NANO = Decimal("1e-9")
_MAX = Decimal(2**63 - 1)
_CACHED_AMOUNTS = 4096
_COUNTED_IN_BYTES = ("memory", "storage", "hugepages")

_DECIMAL_EXPONENT = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL_EXPONENT.items()}
_BINARY_SUFFIXES = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")


def parse(amount: Quantity) -> Decimal:
    """The amount in base units (cores, bytes, pieces). Raises ValueError for what is no quantity."""
    return _parse_text(_text(amount))


def parse_map(amounts: Mapping[str, Quantity] | None) -> dict[str, Decimal]:
    """A resource list in base units."""
    return {name: parse(amount) for name, amount in (amounts or {}).items()}


def milli(amount: Quantity) -> int:
    """In thousandths, rounded up: CPU as millicores."""
    return _rounded_up(parse(amount) * 1000)


def value(amount: Quantity) -> int:
    """In whole base units, rounded up: bytes, pieces."""
    return _rounded_up(parse(amount))


def canonical(amount: Quantity) -> str:
    """The text that Kubernetes stores: no fraction, the largest fitting suffix, the writer's notation kept."""
    return _canonical_text(_text(amount))


def canonical_map(amounts: dict[str, Quantity] | None) -> dict[str, Quantity] | None:
    """A resource list with canonical texts, no finer than thousandths; the same dict when it is so already."""
    if not amounts:
        return amounts
    canonicals: dict[str, Quantity] = {name: _canonical_milli(_text(amount)) for name, amount in amounts.items()}
    return amounts if canonicals == amounts else canonicals


def from_milli(thousandths: int) -> str:
    """The canonical text of so many thousandths."""
    return _decimal_text(Decimal(thousandths).scaleb(-3), exponent_form=False)


def from_value(units: int, *, binary: bool = True) -> str:
    """The canonical text of so many base units: `512Mi` when binary, `500M` otherwise."""
    return _binary_text(Decimal(units)) if binary else _decimal_text(Decimal(units), exponent_form=False)


def shown(resource: str, amount: Decimal) -> str:
    """The canonical text of a computed amount; of bytes in powers of 1024."""
    if amount == amount.to_integral_value() and any(word in resource for word in _COUNTED_IN_BYTES):
        return from_value(int(amount))
    return canonical(f"{amount:f}")


def _text(amount: Quantity) -> str:
    return amount if isinstance(amount, str) else repr(amount)


@lru_cache(maxsize=_CACHED_AMOUNTS)
def _parse_text(text: str) -> Decimal:
    number, suffix = _split(text)
    if suffix.endswith("i"):
        exact = _EXACT.multiply(number, Decimal(1024 ** _BINARY_SUFFIXES.index(suffix)))
    else:
        exact = number.scaleb(_exponent(suffix), _EXACT)
    return max(-_MAX, min(_MAX, exact.quantize(_NANO, ROUND_UP, _EXACT) if exact.adjusted() < 40 else exact))


def _split(text: str) -> tuple[Decimal, str]:
    parts = _PARTS.match(text)
    if parts is None or _PATTERN.match(text) is None:
        raise ValueError(f"quantities must match the regular expression {QUANTITY_PATTERN!r}, found {text!r}")
    return Decimal(parts[1]), parts[2]


def _exponent(suffix: str) -> int:
    if suffix in _DECIMAL_EXPONENT:
        return _DECIMAL_EXPONENT[suffix]
    return max(-1000, min(1000, int(suffix[1:])))


@lru_cache(maxsize=_CACHED_AMOUNTS)
def _canonical_text(text: str) -> str:
    amount, suffix = _parse_text(text), _split(text)[1]
    if suffix.endswith("i") and abs(amount) >= 1024 and amount == amount.to_integral_value():
        return _binary_text(amount)
    return _decimal_text(amount, exponent_form=suffix not in _DECIMAL_EXPONENT and not suffix.endswith("i"))


@lru_cache(maxsize=_CACHED_AMOUNTS)
def _canonical_milli(text: str) -> str:
    amount = _parse_text(text)
    if (amount * 1000) % 1 == 0:
        return _canonical_text(text)
    return _decimal_text(amount.quantize(Decimal("0.001"), ROUND_UP, _EXACT), exponent_form=False)


def _binary_text(amount: Decimal) -> str:
    units, power = int(amount), 0
    while units and units % 1024 == 0 and power < len(_BINARY_SUFFIXES) - 1:
        units, power = units // 1024, power + 1
    return f"{units}{_BINARY_SUFFIXES[power]}"


def _decimal_text(amount: Decimal, *, exponent_form: bool) -> str:
    if not amount:
        return "0"
    sign, digits, exponent = amount.normalize(_EXACT).as_tuple()
    assert isinstance(exponent, int)
    exponent_3 = min(18, exponent - exponent % 3)
    units = int("".join(map(str, digits))) * 10 ** (exponent - exponent_3)
    suffix = (f"e{exponent_3}" if exponent_3 else "") if exponent_form else _DECIMAL_SUFFIX[exponent_3]
    return f"{'-' if sign else ''}{units}{suffix}"


def _rounded_up(amount: Decimal) -> int:
    return int(amount.to_integral_value(ROUND_CEILING))
