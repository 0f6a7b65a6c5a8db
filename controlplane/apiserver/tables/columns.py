"""What a printer is made of, and cells that several kinds share. Pure: an object and the time in, cells out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from orch.api.meta import LabelSelector, Object
from orch.api.pod.container import Container
from orch.kit.durations import human

T = TypeVar("T", bound=Object)
Cell = str | int

WIDE = 1
"""Priority of columns that only `-o wide` shows."""
SHOWN_MAX = 3
"""Endpoints, hosts and the like named in a cell; of the rest the number is told."""
NONE, UNKNOWN, UNSET = "<none>", "<unknown>", "<unset>"


@dataclass(frozen=True, slots=True)
class Column:
    """meta/v1 TableColumnDefinition."""

    name: str
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""

    def to_plain(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


@dataclass(frozen=True, slots=True)
class Printer(Generic[T]):
    """`cells` gives one value per column."""

    columns: tuple[Column, ...]
    cells: Callable[[T, datetime], Sequence[Cell]]


NAME = Column("Name", format="name", description="Unique within its namespace.")
AGE = Column("Age", description="Time since the object was created.")


def wide(name: str) -> Column:
    return Column(name, priority=WIDE)


def age(moment: datetime | None, now: datetime) -> str:
    """Time since `moment` as kubectl writes it; `<unknown>` when there is none."""
    return UNKNOWN if moment is None else human(int((now - moment).total_seconds()))


def created(obj: Object, now: datetime) -> str:
    return age(obj.metadata.creation_timestamp, now)


def joined(values: Sequence[str]) -> str:
    return ",".join(values) if values else NONE


def some(texts: Sequence[str], empty: str) -> str:
    """The first few."""
    if len(texts) <= SHOWN_MAX:
        return ",".join(texts) or empty
    return f"{','.join(texts[:SHOWN_MAX])} + {len(texts) - SHOWN_MAX} more..."


def labels(pairs: Mapping[str, str] | None) -> str:
    """`a=b,c=d` in the order of the keys."""
    return joined([f"{key}={value}" for key, value in sorted((pairs or {}).items())])


def selector(value: LabelSelector) -> str:
    """A LabelSelector as text, as metav1.FormatLabelSelector writes it."""
    texts = [f"{key}={label}" for key, label in sorted((value.match_labels or {}).items())]
    for requirement in sorted(value.match_expressions or (), key=lambda r: r.key):
        options = ",".join(sorted(requirement.values or ()))
        match requirement.operator:
            case "In":
                texts.append(f"{requirement.key} in ({options})")
            case "NotIn":
                texts.append(f"{requirement.key} notin ({options})")
            case "DoesNotExist":
                texts.append(f"!{requirement.key}")
            case _:
                texts.append(requirement.key)
    return joined(texts)


def container_names(containers: Sequence[Container]) -> str:
    return ",".join(container.name for container in containers)


def container_images(containers: Sequence[Container]) -> str:
    return ",".join(container.image or "" for container in containers)
