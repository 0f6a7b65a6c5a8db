"""Files become documents that know where they came from."""

from pathlib import Path

import pytest

from orch.cli.failures import CliError
from orch.cli.manifests import load

MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n"


def test_folders_are_read_in_the_order_of_names_and_deeper_only_if_asked(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(MAP % "b")
    (tmp_path / "a.yml").write_text(MAP % "a1" + "---\n" + MAP % "a2")
    (tmp_path / "notes.txt").write_text("no manifest")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c.json").write_text('{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}')
    assert [document.name for document in load([str(tmp_path)])] == ["a1", "a2", "b"]
    assert [document.name for document in load([str(tmp_path)], recursive=True)] == ["a1", "a2", "b", "c"]


def test_lists_are_taken_apart(tmp_path: Path) -> None:
    items = ", ".join(f"{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}}}" for name in "ab")
    (tmp_path / "list.yaml").write_text(f"apiVersion: v1\nkind: List\nitems: [{items}]\n")
    documents = load([str(tmp_path / "list.yaml")])
    assert [document.name for document in documents] == ["a", "b"]
    assert documents[1].place.endswith("list.yaml: document 1, item 2 (ConfigMap b)")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"kind: Pod", "document 1: apiVersion: is missing"),
        (b"apiVersion: v1", "document 1: kind: is missing"),
        (b"apiVersion: v1\nkind: Pod", "document 1 (Pod): metadata: must be a mapping with a name"),
        (b"apiVersion: v1\nkind: Pod\nmetadata: {}", "document 1 (Pod): metadata.name: is missing"),
        (b"apiVersion: v1\nkind: Pod\nmetadata: {name: 12}", "must be a string, not 12: put it in quotes"),
        (b"apiVersion: 1\nkind: Pod", "apiVersion: must be a string, not 1"),
        (b"just text", "an object is a mapping of fields, this is a text"),
        (b"- a", "an object is a mapping of fields, this is a list"),
        (b"a: [", "document 1, line 2: not YAML"),
        (b"\xff\xfe", "byte 0 is not UTF-8"),
        (b"", "no objects in there"),
    ],
)
def test_faults_name_file_document_and_field(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(content)
    with pytest.raises(CliError) as raised:
        load([str(file)])
    assert str(raised.value).startswith(f"{file}: ")
    assert message in str(raised.value)


def test_faults_of_paths(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="No such file"):
        load([str(tmp_path / "none.yaml")])
    with pytest.raises(CliError, match=r"no \.yaml, \.yml, \.json file in this folder \(-R looks deeper\)"):
        load([str(tmp_path)])
