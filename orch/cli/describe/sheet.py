"""The layout of `describe`: labelled lines, indented sections and small tables. Knows nothing of objects."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from orch.cli import tables

INDENT = "  "
NONE = "<none>"


class Sheet:
    def __init__(self) -> None:
        self._lines: list[tuple[int, str, str | None]] = []
        self._depth = 0

    def line(self, label: str, value: Any) -> None:
        """`Label:  value`; an absent value is <none>."""
        self._lines.append((self._depth, f"{label}:", NONE if value is None or value == "" else str(value)))

    def optional(self, label: str, value: Any) -> None:
        """Only if there is a value."""
        if value not in (None, "", [], {}, ()):
            self.line(label, value)

    def pairs(self, label: str, values: Mapping[str, Any] | None, join: str = "=") -> None:
        """One line per pair, the first beside the label."""
        rows = [f"{key}{join}{value}" for key, value in sorted((values or {}).items())]
        self.many(label, rows)

    def many(self, label: str, rows: Sequence[str]) -> None:
        for number, row in enumerate(rows or [NONE]):
            self._lines.append((self._depth, f"{label}:" if number == 0 else "", row))

    @contextmanager
    def section(self, label: str) -> Iterator[None]:
        self._lines.append((self._depth, f"{label}:", None))
        self._depth += 1
        yield
        self._depth -= 1

    def table(self, label: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        if not rows:
            self.line(label, NONE)
            return
        rule = ["-" * len(name) for name in header]
        cells = [[cell.replace("\n", " ") for cell in row] for row in rows]
        with self.section(label):
            for text in tables.align([list(header), rule, *cells]).splitlines():
                self._lines.append((self._depth, text, None))

    def text(self) -> str:
        """Values of one depth stand under each other, as far as lines without values allow."""
        width: dict[int, int] = {}
        for depth, label, value in self._lines:
            if value is not None:
                width[depth] = max(width.get(depth, 0), len(label))
        return "".join(self._rendered(depth, label, value, width.get(depth, 0)) for depth, label, value in self._lines)

    @staticmethod
    def _rendered(depth: int, label: str, value: str | None, width: int) -> str:
        if value is None:
            return f"{INDENT * depth}{label}\n"
        return f"{INDENT * depth}{label.ljust(width + 2)}{value}".rstrip() + "\n"
