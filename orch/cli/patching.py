"""One patch sent to each object that a command line names: what label, annotate, patch and cordon have in common."""

import argparse
from collections.abc import Sequence
from typing import Any

from orch.cli import selection
from orch.cli.failures import CliError, Exit
from orch.cli.session import Session

MERGE = "application/merge-patch+json"
FIELD_MANAGER = {"fieldManager": "orch"}


def send(current: Session, path: str, patch: Any, content_type: str = MERGE) -> dict[str, Any]:
    """The object as it is now. Raises ApiError."""
    answer: dict[str, Any] = current.api.request("PATCH", path, FIELD_MANAGER, patch, content_type=content_type)
    return answer


def split_words(words: Sequence[str]) -> tuple[list[str], dict[str, str | None]]:
    """(words that name objects, changes): `KEY=VALUE` sets, `KEY-` takes away. The first word is never a change."""
    named = [word for position, word in enumerate(words) if position == 0 or not _is_change(word)]
    changes: dict[str, str | None] = {}
    for word in words[1:]:
        if _is_change(word):
            key, equals, value = word.partition("=")
            changes[key if equals else word[:-1]] = value if equals else None
    if not changes:
        raise CliError("what shall change? Give KEY=VALUE to set or KEY- to take away", Exit.USAGE)
    return named, changes


def _is_change(word: str) -> bool:
    return "=" in word or word.endswith("-")


def change_metadata(current: Session, args: argparse.Namespace, field: str, done: str) -> int:
    """Sets and takes away entries of metadata.labels or .annotations. Nothing is sent where a value would be lost."""
    args.what, changes = split_words(args.what)
    for victim in selection.select(current, args):
        obj = current.api.get(victim.path())
        present = obj["metadata"].get(field) or {}
        lost = [key for key, value in changes.items() if value is not None and present.get(key, value) != value]
        if lost and not args.overwrite:
            raise CliError(f"{victim.target}: {lost[0]} is {present[lost[0]]!r}: --overwrite replaces it")
        send(current, victim.path(), {"metadata": {field: changes}})
        print(f"{victim.target} {done}")
    return Exit.OK
