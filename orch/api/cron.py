"""The syntax of cron schedules: five fields or a descriptor, as robfig/cron's standard parser reads it."""

import re

FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 6))
"""Name, lowest and highest value."""
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMES = {
    "month": {name: number for number, name in enumerate(_MONTHS, start=1)},
    "day of week": {name: number for number, name in enumerate(_DAYS)},
}
DESCRIPTORS = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
EVERY = "@every "
_DURATION = re.compile(r"[-+]?((\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h))+|[-+]?0")


def schedule_problem(schedule: str) -> str:
    """Why a text is no schedule, or ""."""
    if not schedule.strip():
        return "empty spec string"
    if schedule.startswith("@"):
        return _descriptor_problem(schedule)
    texts = schedule.split()
    if len(texts) != len(FIELDS):
        return f"expected exactly {len(FIELDS)} fields, found {len(texts)}: [{' '.join(texts)}]"
    for text, (name, low, high) in zip(texts, FIELDS, strict=True):
        for part in text.split(","):
            if problem := _part_problem(part, name, low, high):
                return problem
    return ""


def _descriptor_problem(text: str) -> str:
    if text.startswith(EVERY):
        return "" if _DURATION.fullmatch(text[len(EVERY) :]) else f"failed to parse duration {text}"
    return "" if text in DESCRIPTORS else f"unrecognized descriptor: {text}"


def _part_problem(part: str, name: str, low: int, high: int) -> str:
    """`*`, `5`, `mon-fri`, `*/15`, `10-40/5`."""
    span, *steps = part.split("/")
    if len(steps) > 1:
        return f"too many slashes: {part}"
    if steps and not steps[0].isdecimal():
        return f"failed to parse int from {steps[0]}: not a number"
    if steps and int(steps[0]) == 0:
        return f"step of range should be a positive number: {part}"
    ends = span.split("-")
    if len(ends) > 2:
        return f"too many hyphens: {part}"
    if ends[0] in ("*", "?"):
        return "" if len(ends) == 1 else f"too many hyphens: {part}"
    return _span_problem(part, ends, name, low, high)


def _span_problem(part: str, ends: list[str], name: str, low: int, high: int) -> str:
    numbers: list[int] = []
    for text in ends:
        number = _NAMES.get(name, {}).get(text.lower(), int(text) if text.isdecimal() else None)
        if number is None:
            return f"failed to parse int from {text}: not a number"
        numbers.append(number)
    first, last = numbers[0], numbers[-1]
    if first < low:
        return f"beginning of range ({first}) below minimum ({low}): {part}"
    if last > high:
        return f"end of range ({last}) above maximum ({high}): {part}"
    return f"beginning of range ({first}) beyond end of range ({last}): {part}" if first > last else ""
