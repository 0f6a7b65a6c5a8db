"""Durations as people read and write them. Pure."""

import re

_SECONDS_PER = {"ns": 1e-9, "us": 1e-6, "\u00b5s": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|\u00b5s|ms|s|m|h)")


def seconds(text: str) -> float:
    """`90s`, `1m30s`, `250ms`, `0`, with a sign or without: what Go's time.ParseDuration reads. Raises ValueError."""
    unsigned = text[1:] if text[:1] in ("+", "-") else text
    parts = _PART.findall(unsigned)
    if unsigned != "0" and (not parts or "".join(number + unit for number, unit in parts) != unsigned):
        raise ValueError(f'invalid duration "{text}"')
    total_s = sum(float(number) * _SECONDS_PER[unit] for number, unit in parts)
    if total_s * 1e9 >= 1 << 63:
        raise ValueError(f'invalid duration "{text}"')
    return -total_s if text[0] == "-" else total_s


def human(seconds: int) -> str:
    """HumanDuration of Kubernetes' apimachinery (util/duration): at most two units, coarser with length."""
    if seconds < -1:
        return "<invalid>"
    if seconds < 120:
        return f"{max(seconds, 0)}s"
    minutes, hours = seconds // 60, seconds // 3600
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    return _two(days // 365, "y", days % 365, "d") if days < 2920 else f"{days // 365}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"
