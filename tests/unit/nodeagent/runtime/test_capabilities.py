"""Which capabilities a container gets."""

import pytest

from nodeagent.runtime.capabilities import ALL, DEFAULT, granted, names
from nodeagent.runtime.interface import RuntimeFault, Security

EVERYTHING = frozenset(ALL)


def test_the_default_is_dockers_fourteen_in_number_order() -> None:
    default = granted(Security(), EVERYTHING)
    assert len(default) == 14
    assert default[0] == "CAP_CHOWN"
    assert list(default) == sorted(default, key=lambda name: ALL.index(name.removeprefix("CAP_")))


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        ((), ("ALL",), set()),
        (("net_admin",), ("ALL",), {"NET_ADMIN"}),
        (("CAP_NET_ADMIN",), (), DEFAULT | {"NET_ADMIN"}),
        (("ALL",), (), EVERYTHING),
        (("ALL",), ("SYS_ADMIN",), EVERYTHING - {"SYS_ADMIN"}),
        ((), ("KILL", "MKNOD"), DEFAULT - {"KILL", "MKNOD"}),
        (("KILL",), ("KILL",), DEFAULT - {"KILL"}),
    ],
)
def test_add_and_drop(add: tuple[str, ...], drop: tuple[str, ...], expected: set[str]) -> None:
    security = Security(add_capabilities=add, drop_capabilities=drop)
    assert set(granted(security, EVERYTHING)) == {f"CAP_{name}" for name in expected}


def test_privileged_is_what_the_agent_has_and_not_more() -> None:
    available = frozenset({"CHOWN", "SYS_ADMIN"})
    assert granted(Security(privileged=True), available) == ("CAP_CHOWN", "CAP_SYS_ADMIN")
    assert granted(Security(add_capabilities=("ALL",)), available) == ("CAP_CHOWN", "CAP_SYS_ADMIN")


def test_what_the_agent_cannot_give_is_refused() -> None:
    with pytest.raises(RuntimeFault, match="no capability SYS_TIME"):
        granted(Security(add_capabilities=("SYS_TIME",)), EVERYTHING - {"SYS_TIME"})
    with pytest.raises(RuntimeFault, match="unknown capability WINGS"):
        granted(Security(drop_capabilities=("WINGS",)), EVERYTHING)


def test_a_mask_is_read_by_number() -> None:
    assert names(0b1) == {"CHOWN"}
    assert names(1 << 21 | 1 << 40) == {"SYS_ADMIN", "CHECKPOINT_RESTORE"}
