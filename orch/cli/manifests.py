"""Manifests: files, folders and stdin become documents that know where they came from.

Checks only what can be said without a server: that it is YAML or JSON, a mapping, and names apiVersion, kind and
metadata.name. Every error says file, document and line.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orch.cli.failures import CliError

SUFFIXES = (".yaml", ".yml", ".json")
STDIN = "-"


@dataclass(frozen=True, slots=True)
class Document:
    """`place` is how errors name it: `web.yaml: document 2`."""

    place: str
    plain: dict[str, Any]

    @property
    def api_version(self) -> str:
        return str(self.plain["apiVersion"])

    @property
    def kind(self) -> str:
        return str(self.plain["kind"])

    @property
    def name(self) -> str:
        return str(self.plain["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.plain["metadata"].get("namespace") or "")


def load(paths: Sequence[str], *, recursive: bool = False) -> list[Document]:
    """All documents in the order of the files. Raises CliError for the first that is no good."""
    documents = [document for path in paths for file in _files(path, recursive) for document in _documents(file)]
    if not documents:
        raise CliError(f"{', '.join(paths)}: no objects in there")
    return documents


def _files(path: str, recursive: bool) -> Iterable[str]:
    if path == STDIN or not Path(path).is_dir():
        return [path]
    found = Path(path).rglob("*") if recursive else Path(path).iterdir()
    files = sorted(str(file) for file in found if file.suffix in SUFFIXES and file.is_file())
    if not files:
        raise CliError(
            f"{path}: no {', '.join(SUFFIXES)} file in this folder{'' if recursive else ' (-R looks deeper)'}"
        )
    return files


def _documents(file: str) -> Iterator[Document]:
    from orch.cli.yaml_load import YamlError, load_documents

    source = "standard input" if file == STDIN else file
    try:
        for number, plain in load_documents(_text(file, source)):
            yield from _objects(f"{source}: document {number}", plain)
    except YamlError as error:
        line = f", line {error.line}" if error.line else ""
        raise CliError(f"{source}: document {error.document}{line}: not YAML: {error}") from error


def _text(file: str, source: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()
        return data.decode()
    except OSError as error:
        raise CliError(f"{source}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise CliError(f"{source}: byte {error.start} is not UTF-8: a manifest is text") from error


def _objects(place: str, plain: Any) -> Iterator[Document]:
    """The object itself, or the items of a List."""
    if not isinstance(plain, dict):
        raise CliError(f"{place}: an object is a mapping of fields, this is {_type_name(plain)}")
    _require_text(place, plain, "apiVersion")
    if _require_text(place, plain, "kind") == "List" and isinstance(plain.get("items"), list):
        for number, item in enumerate(plain["items"], 1):
            yield from _objects(f"{place}, item {number}", item)
        return
    metadata = plain.get("metadata")
    if not isinstance(metadata, dict):
        raise CliError(f"{place} ({plain['kind']}): metadata: must be a mapping with a name")
    _require_text(f"{place} ({plain['kind']})", metadata, "name", "metadata.")
    yield Document(f"{place} ({plain['kind']} {metadata['name']})", plain)


def _require_text(place: str, plain: dict[str, Any], field: str, prefix: str = "") -> str:
    value = plain.get(field)
    if value is None or value == "":
        raise CliError(f"{place}: {prefix}{field}: is missing")
    if not isinstance(value, str):
        raise CliError(f"{place}: {prefix}{field}: must be a string, not {value!r}: put it in quotes")
    return value


def _type_name(value: Any) -> str:
    return {list: "a list", str: "a text", bool: "a boolean"}.get(type(value), "a number")
