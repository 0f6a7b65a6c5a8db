"""Numbers and sizes of nodes, as they are written on the command line."""

import argparse

import pytest

from orch.cli import cluster
from orch.cli.failures import Exit


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    cluster.add_arguments(parser)
    return parser.parse_args(["up", *words])


@pytest.mark.parametrize(
    ("flag", "text", "value"),
    [
        ("--cpus", "0.5", 0.5),
        ("--cpus", "2", 2.0),
        ("--memory", "512Mi", 512 * 1024**2),
        ("--memory", "2G", 2 * 10**9),
        ("--memory", "1073741824", 2**30),
        ("--nodes", "3", 3),
    ],
)
def test_sizes(flag: str, text: str, value: float) -> None:
    assert getattr(parsed(flag, text), flag.removeprefix("--")) == value


@pytest.mark.parametrize(
    ("flag", "text"),
    [("--cpus", text) for text in ("nan", "inf", "-1", "0", "0.001", "1e2", "5000", "two")]
    + [("--memory", text) for text in ("0", "1", "-1", "64Mi", "2Ti", "99999999999999999999G", "much")]
    + [("--nodes", text) for text in ("0", "-1", "51", "x")],
)
def test_sizes_that_make_no_node(flag: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(f"{flag}={text}")
    assert ended.value.code == Exit.USAGE
    assert f"argument {flag}: {text!r} is no" in capsys.readouterr().err
