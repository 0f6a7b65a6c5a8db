"""What is missing is named, with the package that has it."""

from pathlib import Path

import pytest

from deploy.local import preflight
from deploy.local.spec import ClusterError


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("EXECUTABLES", {"no-such-command": "some-package"}, "no-such-command is not installed.*some-package"),
        ("LIBNFTABLES", "libno-such.so.1", "libno-such.so.1 is not installed.*libnftables1"),
        ("DEFAULT_SECCOMP_PROFILE", Path("/no/such.json"), "/no/such.json is missing.*containers-common"),
    ],
)
def test_what_is_missing(monkeypatch: pytest.MonkeyPatch, name: str, value: object, message: str) -> None:
    monkeypatch.setattr(preflight.os, "geteuid", lambda: 0)
    monkeypatch.setattr(preflight, name, value)
    with pytest.raises(ClusterError, match=message):
        preflight.check_machine()
