"""What a node holds on its disk: snapshots, deltas, refusals, and what a restart finds."""

import errno
from pathlib import Path
from typing import Any

import pytest

from nodeagent.desired_state import DesiredState, Item, Position, StaleSnapshot
from orch.api.kind import Kind
from orch.api.kinds import PODS, SECRETS, SERVICES
from orch.api.meta import ObjectMeta
from orch.api.pod.spec import Pod
from orch.api.pod.status import PodStatus
from orch.api.secret import Secret
from orch.api.service import Service


@pytest.fixture
def desired(tmp_path: Path) -> DesiredState:
    return opened(tmp_path)


def opened(folder: Path) -> DesiredState:
    state = DesiredState(folder / "disk", folder / "tmpfs")
    state.load()
    return state


def item(kind: Kind[Any], name: str, revision: int) -> Item:
    struct = {PODS.kind: Pod, SECRETS.kind: Secret, SERVICES.kind: Service}[kind.kind]
    obj = struct(metadata=ObjectMeta(name=name, namespace="default", uid=name, resource_version=str(revision)))
    return Item(kind.kind, name, revision, kind.codec.encode(obj))


def take(state: DesiredState, revision: int, *items: Item, epoch: int = 1, cluster: str = "c") -> list[str]:
    """A snapshot; what changed, as `+name`, `-name` and `~name`."""
    state.begin(Position(epoch, revision, cluster))
    state.stage(items)
    return described(state.end(len(items)))


def described(changes: list[Any]) -> list[str]:
    def sign(change: Any) -> str:
        return "+" if change.old is None else "-" if change.new is None else "~"

    return sorted(sign(change) + (change.new or change.old).metadata.name for change in changes)


def test_a_snapshot_takes_effect_at_its_end_and_whole(desired: DesiredState) -> None:
    take(desired, 5, item(PODS, "a", 1), item(PODS, "b", 2))
    desired.begin(Position(1, 9, "c"))
    desired.stage([item(PODS, "b", 8), item(PODS, "c", 9)])
    assert [pod.metadata.name for pod in desired.pods()] == ["a", "b"]
    assert described(desired.end(2)) == ["+c", "-a", "~b"]


def test_a_snapshot_with_a_missing_part_changes_nothing(desired: DesiredState) -> None:
    take(desired, 5, item(PODS, "a", 1))
    desired.begin(Position(1, 9, "c"))
    with pytest.raises(StaleSnapshot, match="0 of 3"):
        desired.end(3)
    assert len(desired.pods()) == 1


@pytest.mark.parametrize(
    "position",
    [
        pytest.param(Position(1, 4, "c"), id="lower revision"),
        pytest.param(Position(0, 99, "c"), id="lower epoch"),
        pytest.param(Position(2, 99, "other"), id="another cluster"),
    ],
)
def test_what_is_older_or_foreign_is_refused(desired: DesiredState, position: Position) -> None:
    take(desired, 5, item(PODS, "a", 5))
    with pytest.raises(StaleSnapshot):
        desired.begin(position)


def test_a_restore_brings_lower_revisions_with_a_higher_epoch(desired: DesiredState) -> None:
    take(desired, 500, item(PODS, "a", 400), item(PODS, "b", 450))
    assert take(desired, 20, item(PODS, "a", 10), epoch=2) == ["-b", "~a"]
    assert desired.pods()[0].metadata.resource_version == "10"


def test_a_delta_changes_objects_and_ignores_older_states(desired: DesiredState) -> None:
    take(desired, 5, item(PODS, "a", 5))
    gone = Item(PODS.kind, "a", 8, b"")
    assert described(desired.apply([item(PODS, "a", 4), item(PODS, "b", 7)], 7)) == ["+b"]
    assert described(desired.apply([gone], 8)) == ["-a"]
    assert described(desired.apply([gone], 8)) == []


def test_an_unchanged_object_is_no_change(desired: DesiredState) -> None:
    take(desired, 5, item(PODS, "a", 5))
    assert take(desired, 6, item(PODS, "a", 5)) == []


def test_a_restarted_agent_finds_everything_again(tmp_path: Path) -> None:
    first = opened(tmp_path)
    take(first, 5, item(PODS, "a", 5), item(SERVICES, "s", 4), item(SECRETS, "k", 3))
    first.apply([item(PODS, "b", 9)], 9)
    first.save_status("a", PodStatus(phase="Running"))
    second = opened(tmp_path)
    assert sorted(pod.metadata.name for pod in second.pods()) == ["a", "b"]
    assert second.services("default")[0].metadata.name == "s"
    assert second.secret("default", "k") is not None
    assert second.status("a") == PodStatus(phase="Running")
    assert second.position == Position(1, 9, "c")


def test_a_secret_never_reaches_the_disk(tmp_path: Path) -> None:
    take(opened(tmp_path), 5, item(SECRETS, "the-secret", 3), item(PODS, "a", 4))

    def holders(folder: str) -> list[str]:
        files = [path for path in (tmp_path / folder).rglob("*") if path.is_file()]
        return [path.name for path in files if b"the-secret" in path.read_bytes()]

    assert holders("disk") == []
    assert holders("tmpfs") == ["desired.journal"]


def test_what_cannot_be_read_is_dropped(tmp_path: Path) -> None:
    """A write that a crash cut off in its middle, and an object that is none."""
    take(opened(tmp_path), 5, item(PODS, "a", 5))
    with (tmp_path / "disk" / "desired.journal").open("ab") as file:
        file.write(b'{"kind":"Pod","uid":"b","object":{"spec":{"containers":7}}}\n{"kind":"Pod","uid":"c","obj')
    again = opened(tmp_path)
    again.apply([item(PODS, "d", 9)], 9)
    assert [pod.metadata.name for pod in opened(tmp_path).pods()] == ["a", "d"]


def test_fields_of_a_newer_server_are_dropped(desired: DesiredState) -> None:
    newer = Item(PODS.kind, "a", 5, b'{"metadata":{"name":"a","uid":"a","resourceVersion":"5"},"spec":{"magic":1}}')
    assert take(desired, 5, newer) == ["+a"]


def test_a_full_disk_loses_nothing_but_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node goes on from memory; what could not be written comes with the next change that can."""
    state = opened(tmp_path)
    with monkeypatch.context() as full:
        full.setattr("nodeagent.journal.os.write", raise_no_space)
        take(state, 5, item(PODS, "a", 5))
        state.save_status("a", PodStatus(phase="Running"))
    assert [pod.metadata.name for pod in state.pods()] == ["a"]
    state.apply([item(PODS, "b", 9)], 9)
    again = opened(tmp_path)
    assert sorted(pod.metadata.name for pod in again.pods()) == ["a", "b"]
    assert again.status("a") == PodStatus(phase="Running")


def raise_no_space(*arguments: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")
