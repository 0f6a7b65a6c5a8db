"""A fake server and a command line that talks to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.orch.cli.fake_api import Cli, FakeApi, add_discovery, serve, write_kubeconfig


@pytest.fixture
def api() -> Iterator[FakeApi]:
    fake = FakeApi()
    add_discovery(fake)
    server = serve(fake)
    yield fake
    server.shutdown()
    server.server_close()


@pytest.fixture
def cli(api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(tmp_path, api.url)))
    return Cli(api, capsys)
