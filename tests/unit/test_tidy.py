"""The style of the project as a test: what a reader may rely on in every file of our packages."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("orch", "controlplane", "nodeagent", "deploy")
FUNCTION_LINES_MAX = 60
FUNCTION_LINES_USUAL = 40
FILE_LINES_MAX = 400
TYPE_TABLES = ("orch/api/pod/volume.py",)
"""Pure tables of types may be longer."""


def sources() -> list[Path]:
    found = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return [path for path in found if "_pb2" not in path.name]


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the function without its docstring."""
    docstring = 0
    first = function.body[0]
    if ast.get_docstring(function) is not None and first.end_lineno is not None:
        docstring = first.end_lineno - first.lineno + 1
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1 - docstring


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_file_is_readable(path: Path) -> None:
    text = path.read_text()
    name = str(path.relative_to(ROOT))
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), f"{name}: a module says what it is for"
    if name not in TYPE_TABLES:
        assert text.count("\n") <= FILE_LINES_MAX, f"{name}: a file is one noun and fits in {FILE_LINES_MAX} lines"
    too_long = {f.name: code_lines(f) for f in functions(path) if code_lines(f) > FUNCTION_LINES_MAX}
    assert not too_long, f"{name}: functions over {FUNCTION_LINES_MAX} lines"
    assert "TODO" not in text, f"{name}: unfinished work belongs into an issue"


def test_nine_functions_in_ten_are_short() -> None:
    lengths = [code_lines(function) for path in sources() for function in functions(path)]
    short = sum(length <= FUNCTION_LINES_USUAL for length in lengths)
    assert short >= 0.9 * len(lengths)
