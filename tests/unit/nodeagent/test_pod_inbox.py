import asyncio
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from nodeagent.pod_events import (
    ContainerEvent,
    ContainerExited,
    EndPod,
    Event,
    InputsChanged,
    PodDesired,
    PodRemoved,
    ProbeKind,
    ProbeResult,
    SandboxReady,
    TimerFired,
)
from nodeagent.pod_inbox import PodInbox, subject
from tests.unit.nodeagent.machine import NOW, a_pod


async def read_all(inbox: PodInbox) -> list[Event]:
    return [await inbox.get() for _ in range(len(inbox))]


def probed(attempt: int, healthy: bool, *, decided: bool = True) -> ProbeResult:
    return ProbeResult("app", attempt, ProbeKind.READINESS, healthy, decided=decided)


async def test_levels_replace_what_waits_and_nothing_else_is_lost() -> None:
    old, new = PodDesired(a_pod()), PodDesired(a_pod(restart_policy="Never"))
    inbox = PodInbox()
    for event in (old, InputsChanged(), SandboxReady("10.244.0.5"), InputsChanged(), PodRemoved(), new):
        inbox.put(event)
    assert await read_all(inbox) == [new, InputsChanged(), SandboxReady("10.244.0.5"), PodRemoved()]
    inbox.put(InputsChanged())
    assert await inbox.get() == InputsChanged(), "what was handled is said anew"


async def test_the_last_verdict_on_each_attempt_counts_and_a_mere_failure_is_none() -> None:
    inbox = PodInbox()
    for event in (probed(0, False), probed(1, False), probed(0, True), probed(0, False, decided=False)):
        inbox.put(event)
    assert await read_all(inbox) == [probed(0, True), probed(1, False), probed(0, False, decided=False)]


async def test_the_first_end_counts_and_a_shorter_period_hurries() -> None:
    inbox, first, hurry = PodInbox(), EndPod("Evicted", "memory", 30), EndPod("Terminated", "shutdown", 5)
    for event in (first, hurry, EndPod("Evicted", "again", 30)):
        inbox.put(event)
    ended = ContainerExited("app", 0, 7, False, None, NOW)
    inbox.put(ended)
    inbox.put(ContainerExited("app", 0, 137, False, None, NOW, lost=True))
    assert await read_all(inbox) == [first, hurry, ended]


async def test_a_reader_waits_for_the_first_event() -> None:
    inbox = PodInbox()
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(inbox.get())
        await asyncio.sleep(0)
        assert not reading.done()
        inbox.put(TimerFired("sandbox"))
    assert reading.result() == TimerFired("sandbox")


@given(
    st.lists(st.sampled_from([probed(0, True), probed(0, False), InputsChanged(), TimerFired("a"), TimerFired("b")]))
)
def test_a_flood_does_not_pile_up_and_its_last_words_are_there(flood: list[Event]) -> None:
    async def check() -> None:
        inbox = PodInbox()
        for event in flood:
            inbox.put(event)
        last = {subject(event): event for event in flood}
        assert len(inbox) == len(last) <= 4
        assert {subject(event): event for event in await read_all(inbox)} == last

    asyncio.run(check())


def test_events_of_different_containers_are_never_one() -> None:
    """Also of a kind of event that comes to be later."""
    for kind in get_args(ContainerEvent):
        fields = dict.fromkeys(kind.__dataclass_fields__, "x")
        assert subject(kind(**fields)) != subject(kind(**fields | {"container": "y"})), kind
