"""Counts that may be percentages ("25%"): their rules, and what they come to (apimachinery `util/intstr`)."""

import re

from orch.api.base import IntOrString
from orch.api.causes import Causes

_PERCENT = re.compile(r"[0-9]+%")
NOT_A_PERCENT = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for "
    "validation is '[0-9]+%')"
)


def count_or_percent_rules(causes: Causes, path: str, value: IntOrString) -> None:
    if isinstance(value, int):
        causes.not_negative(path, value)
    elif not _PERCENT.fullmatch(value):
        causes.invalid(path, value, NOT_A_PERCENT)


def at_most_100_percent(causes: Causes, path: str, value: IntOrString) -> None:
    if isinstance(value, str) and _PERCENT.fullmatch(value) and int(value[:-1]) > 100:
        causes.invalid(path, value, "must not be greater than 100%")


def is_zero(value: IntOrString) -> bool:
    return value in (0, "0%")


def scaled_up(value: IntOrString, total: int) -> int:
    """A count as it is; a percentage of `total`, rounded up. What is neither (validation refuses it) is 0."""
    if isinstance(value, int):
        return value
    return -(-int(value[:-1]) * total // 100) if _PERCENT.fullmatch(value) else 0
