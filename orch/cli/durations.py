"""Durations as users of kubectl write them (30s, 5m, 1h30m) and ages as it prints them (42s, 3m10s, 5d)."""

import argparse
import re
from datetime import UTC, datetime

from orch.kit.durations import human

_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def seconds(text: str) -> float:
    """An argparse type. A bare number is seconds."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if not text or not re.fullmatch(f"({_PART.pattern})+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: write 30s, 5m or 1h30m")
    return sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text))


def parse_time(text: str) -> datetime:
    """RFC 3339, as metav1.Time and MicroTime are written."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


def age(text: str | None, now: datetime) -> str:
    """Since that time; <unknown> without one."""
    if not text:
        return "<unknown>"
    return human(max(0, int((now - parse_time(text)).total_seconds())))
