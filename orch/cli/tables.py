"""Prints tables that the server made (meta/v1 Table), the way users of kubectl know them.

The server decides columns and cells; this file chooses columns, adds those that depend on the request (NAMESPACE,
labels) and aligns.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

PADDING = 3
ACCEPT = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

Row = list[str]


class Style(NamedTuple):
    """`name_prefix` is `pod/` where several types are listed together."""

    wide: bool = False
    with_namespace: bool = False
    label_columns: tuple[str, ...] = ()
    show_labels: bool = False
    headers: bool = True
    name_prefix: str = ""

    @property
    def needs_metadata(self) -> bool:
        return self.with_namespace or self.show_labels or bool(self.label_columns)


def header(table: dict[str, Any], style: Style) -> Row:
    names = [column["name"].upper() for _, column in _shown(table, style)]
    labels = [key.rpartition("/")[2].upper() for key in style.label_columns]
    return [
        *(["NAMESPACE"] if style.with_namespace else []),
        *names,
        *labels,
        *(["LABELS"] if style.show_labels else []),
    ]


def rows(table: dict[str, Any], style: Style, columns: dict[str, Any] | None = None) -> list[Row]:
    """Cells as text. `columns` is the table that carries the column definitions (watch events may leave them out)."""
    shown = _shown(columns or table, style)
    return [_row(row, shown, style) for row in table.get("rows") or ()]


def widths(lines: Sequence[Row]) -> list[int]:
    """Per column the longest cell; lines may differ in length."""
    count = max((len(line) for line in lines), default=0)
    return [max(len(line[i]) for line in lines if len(line) > i) for i in range(count)]


def align(lines: Sequence[Row], column_widths: Sequence[int] | None = None) -> str:
    """Lines with three spaces between columns, each with its line break."""
    measured = column_widths or widths(lines)
    return "".join(_aligned(line, measured) + "\n" for line in lines)


def _aligned(line: Row, measured: Sequence[int]) -> str:
    """Also for a cell that is wider than what was measured: rows of a watch come later than the widths."""
    cells = [cell.ljust(width) + " " * PADDING for cell, width in zip(line, measured, strict=False)]
    return "".join(cells).rstrip()


def _shown(table: dict[str, Any], style: Style) -> list[tuple[int, dict[str, Any]]]:
    definitions = enumerate(table.get("columnDefinitions") or ())
    return [(i, column) for i, column in definitions if style.wide or not column.get("priority")]


def _row(row: dict[str, Any], shown: list[tuple[int, dict[str, Any]]], style: Style) -> Row:
    cells = [_text(row["cells"][i]) for i, _ in shown]
    if style.name_prefix and cells:
        cells[0] = style.name_prefix + cells[0]
    metadata = (row.get("object") or {}).get("metadata") or {}
    labels = metadata.get("labels") or {}
    before = [metadata.get("namespace", "")] if style.with_namespace else []
    after = [labels.get(key, "<none>") for key in style.label_columns]
    if style.show_labels:
        after.append(",".join(f"{key}={labels[key]}" for key in sorted(labels)) or "<none>")
    return before + cells + after


def _text(cell: Any) -> str:
    """As kubectl prints cells: an absent one is <none>, line breaks would tear the table."""
    if cell is None:
        return "<none>"
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return str(cell).replace("\n", "\\n")
