"""Lifecycle hooks, grace periods, termination messages and ephemeral containers, as one container sees them."""

from msgspec.structs import replace

from nodeagent.container_state import Stage
from nodeagent.pod_events import (
    Adopted,
    ContainerExited,
    EndPod,
    HookEnded,
    HookKind,
    PodDesired,
    ProbeKind,
    ProbeResult,
    TimerFired,
)
from nodeagent.pod_instructions import (
    CreateContainer,
    Instruction,
    PullImage,
    RunHook,
    SetTimer,
    StartProbes,
    StopContainer,
    StopProbes,
)
from nodeagent.runtime.interface import ContainerState, ContainerStatus, SandboxState, SandboxStatus
from orch.api.pod.container import (
    EphemeralContainer,
    ExecAction,
    Lifecycle,
    LifecycleHandler,
    Probe,
    SleepAction,
)
from orch.api.pod.spec import Pod
from tests.unit.nodeagent.machine import NOW, Node, a_container, a_node, a_pod, reasons, started, steps

SLEEP = LifecycleHandler(sleep=SleepAction(seconds=5))
POST_START = Lifecycle(post_start=SLEEP)
PRE_STOP = Lifecycle(pre_stop=SLEEP)
PROBE = Probe(exec=ExecAction(command=("true",)))


def deleted(pod: Pod, grace_s: int = 30) -> PodDesired:
    meta = replace(pod.metadata, deletion_timestamp=NOW, deletion_grace_period_seconds=grace_s)
    return PodDesired(replace(pod, metadata=meta))


def stops(instructions: list[Instruction]) -> list[tuple[str, float]]:
    return [(i.container, i.grace_s) for i in instructions if isinstance(i, StopContainer)]


def hooks(instructions: list[Instruction]) -> list[tuple[str, HookKind]]:
    return [(i.container, i.hook) for i in instructions if isinstance(i, RunHook)]


def stage(node: Node, name: str = "app") -> Stage:
    machine = node.machine.container(name)
    assert machine is not None
    return machine.stage


class TestPostStart:
    def test_a_container_runs_and_is_probed_once_its_hook_has_ended(self) -> None:
        node = started(a_pod(a_container(lifecycle=POST_START, readiness_probe=PROBE)))
        waiting = (node.status.container_statuses or ())[0]
        assert waiting.state.waiting is not None
        assert not waiting.ready
        assert node.status.phase == "Pending"
        after = node.give(HookEnded("app", 0, HookKind.POST_START))
        running = (node.status.container_statuses or ())[0]
        assert running.state.running is not None
        assert node.status.phase == "Running"
        assert [type(i) for i in steps(after)] == [StartProbes]

    def test_containers_after_it_wait_for_its_hook(self) -> None:
        node = started(a_pod(a_container("first", lifecycle=POST_START), a_container("second")))
        assert stage(node, "second") is Stage.WAITING
        node.give(HookEnded("first", 0, HookKind.POST_START))
        assert stage(node, "second") is Stage.RUNNING

    def test_a_hook_that_fails_ends_the_container_which_restarts_by_its_policy(self) -> None:
        node = started(a_pod(a_container(lifecycle=POST_START)))
        after = node.give(HookEnded("app", 0, HookKind.POST_START, "it exited with 1"))
        assert reasons(after)[:2] == ["FailedPostStartHook", "Killing"]
        assert stops(after) == [("app", 30.0)]
        assert any(isinstance(i, CreateContainer) and i.attempt == 1 for i in after)

    def test_a_container_that_ends_during_its_hook_has_ended(self) -> None:
        node = started(a_pod(a_container(lifecycle=POST_START), restart_policy="Never"))
        node.exits("app", 3)
        assert node.status.phase == "Failed"
        assert not steps(node.give(HookEnded("app", 0, HookKind.POST_START, "killed")))

    def test_a_restarted_agent_runs_the_hook_of_a_container_that_nobody_saw_running(self) -> None:
        node = a_node(a_pod(a_container(lifecycle=POST_START)))
        sandbox = SandboxStatus("web-uid", "default", "web", SandboxState.READY, NOW, "10.244.0.5")
        found = ContainerStatus("app-0", "web-uid", "app", 0, "sha256:1", ContainerState.RUNNING, NOW, NOW)
        after = node.give(Adopted(sandbox, (found,)))
        assert hooks(after) == [("app", HookKind.POST_START)]


class TestPreStop:
    def test_the_stop_signal_follows_the_hook_with_what_is_left_of_the_grace_period(self) -> None:
        pod = a_pod(a_container(lifecycle=PRE_STOP))
        node = started(pod)
        began = node.give(deleted(pod))
        assert hooks(began) == [("app", HookKind.PRE_STOP)]
        assert stops(began) == []
        assert (node.status.container_statuses or ())[0].state.running is not None
        assert stops(node.later(12).give(HookEnded("app", 0, HookKind.PRE_STOP))) == [("app", 18.0)]

    def test_a_hook_that_outlasts_the_grace_period_leaves_two_seconds(self) -> None:
        pod = a_pod(a_container(lifecycle=PRE_STOP))
        node = started(pod)
        assert SetTimer("hook/app", 10.0) in node.give(deleted(pod, 10))
        assert stops(node.later(10).give(TimerFired("hook/app"))) == [("app", 2.0)]
        assert node.machine.gone

    def test_a_hook_that_fails_is_told_and_the_container_stops(self) -> None:
        pod = a_pod(a_container(lifecycle=PRE_STOP))
        node = started(pod)
        node.give(deleted(pod))
        after = node.give(HookEnded("app", 0, HookKind.PRE_STOP, "no such file"))
        assert "FailedPreStopHook" in reasons(after)
        assert stops(after) == [("app", 30.0)]

    def test_a_shorter_grace_period_shortens_the_hook(self) -> None:
        pod = a_pod(a_container(lifecycle=PRE_STOP))
        node = started(pod)
        node.give(deleted(pod))
        assert SetTimer("hook/app", 3.0) in node.later(5).give(deleted(pod, 3))

    def test_a_longer_grace_period_changes_nothing(self) -> None:
        pod = a_pod()
        node = a_node(pod, hold=lambda i: isinstance(i, StopContainer))
        node.give(Adopted())
        assert stops(node.give(deleted(pod, 5))) == [("app", 5.0)]
        assert stops(node.give(deleted(pod, 60))) == []

    def test_without_a_grace_period_no_hook_runs(self) -> None:
        pod = a_pod(a_container(lifecycle=PRE_STOP))
        node = started(pod)
        after = node.give(deleted(pod, 0))
        assert hooks(after) == []
        assert stops(after) == [("app", 2.0)]

    def test_a_container_that_fails_its_liveness_probe_gets_the_probes_own_grace(self) -> None:
        probe = replace(PROBE, termination_grace_period_seconds=7)
        node = started(a_pod(a_container(liveness_probe=probe, lifecycle=PRE_STOP)))
        after = node.give(ProbeResult("app", 0, ProbeKind.LIVENESS, False, "dead"))
        assert SetTimer("hook/app", 7.0) in after
        node.later(1).give(HookEnded("app", 0, HookKind.PRE_STOP))
        assert stage(node) is Stage.RUNNING
        assert (node.status.container_statuses or ())[0].restart_count == 1

    def test_an_ending_container_is_ready_while_its_probe_says_so(self) -> None:
        pod = a_pod(a_container(lifecycle=PRE_STOP, readiness_probe=PROBE, liveness_probe=PROBE))
        node = started(pod)
        node.give(ProbeResult("app", 0, ProbeKind.READINESS, True))
        began = node.give(deleted(pod))
        assert [i.readiness_only for i in began if isinstance(i, StartProbes)] == [True]
        assert node.condition("Ready")[0] == "True"
        node.give(ProbeResult("app", 0, ProbeKind.READINESS, False))
        assert node.condition("Ready")[0] == "False"
        assert stops(node.give(ProbeResult("app", 0, ProbeKind.LIVENESS, False))) == []
        assert StopProbes("app") in node.give(HookEnded("app", 0, HookKind.PRE_STOP))


class TestSidecars:
    def test_hooks_begin_together_and_stop_signals_keep_their_order_within_one_grace_period(self) -> None:
        sidecar = a_container("proxy", restart_policy="Always", lifecycle=PRE_STOP)
        pod = a_pod(a_container(), init_containers=(sidecar,))
        node = a_node(pod, hold=lambda i: isinstance(i, StopContainer))
        node.give(Adopted())
        began = node.give(deleted(pod))
        assert hooks(began) == [("proxy", HookKind.PRE_STOP)]
        assert stops(began) == [("app", 30.0)]
        assert stops(node.later(5).give(HookEnded("proxy", 0, HookKind.PRE_STOP))) == []
        assert stops(node.later(5).exits("app", 0)) == [("proxy", 20.0)]

    def test_when_the_others_used_up_the_grace_period_two_seconds_are_left(self) -> None:
        pod = a_pod(a_container(), init_containers=(a_container("proxy", restart_policy="Always"),))
        node = a_node(pod, hold=lambda i: isinstance(i, StopContainer))
        node.give(Adopted())
        node.give(deleted(pod))
        assert stops(node.later(31).exits("app", 137)) == [("proxy", 2.0)]


class TestEphemeral:
    DEBUG = EphemeralContainer(name="debug", image="debug:1", target_container_name="app")

    def test_it_starts_when_it_appears_and_is_never_restarted(self) -> None:
        pod = a_pod()
        node = started(pod)
        node.give(PodDesired(replace(pod, spec=replace(pod.spec, ephemeral_containers=(self.DEBUG,)))))
        found = (node.status.ephemeral_container_statuses or ())[0]
        assert found.name == "debug"
        assert found.state.running is not None
        node.exits("debug", 1)
        ended = (node.status.ephemeral_container_statuses or ())[0].state.terminated
        assert ended is not None
        assert ended.exit_code == 1
        assert stage(node, "debug") is Stage.FINISHED
        assert node.status.phase == "Running"
        assert node.condition("Ready")[0] == "True"

    def test_it_does_not_wait_for_init_containers(self) -> None:
        pod = a_pod(a_container(), init_containers=(a_container("setup"),), ephemeral_containers=(self.DEBUG,))
        node = started(pod)
        assert stage(node, "debug") is Stage.RUNNING
        assert stage(node) is Stage.WAITING

    def test_a_restarted_agent_does_not_run_it_again(self) -> None:
        pod = a_pod(ephemeral_containers=(self.DEBUG,))
        node = started(pod)
        node.exits("debug", 0)
        again = a_node(pod, node.status)
        assert not [i for i in again.give(Adopted()) if isinstance(i, PullImage) and i.container == "debug"]

    def test_it_does_not_keep_a_finished_pod(self) -> None:
        node = started(a_pod(ephemeral_containers=(self.DEBUG,), restart_policy="Never"))
        assert ("debug", 30.0) in stops(node.exits("app", 0))
        assert node.status.phase == "Succeeded"


def test_the_termination_message_stands_in_state_then_in_last_state() -> None:
    node = started(a_pod())
    node.give(ContainerExited("app", 0, 1, False, NOW, NOW, message="disk on fire"))
    last = (node.status.container_statuses or ())[0].last_state.terminated
    assert last is not None
    assert last.message == "disk on fire"


def test_termination_messages_of_a_pod_share_twelve_kibibytes() -> None:
    containers = [a_container(f"c{number}") for number in range(6)]
    node = started(a_pod(*containers, restart_policy="Never"))
    for container in containers:
        node.give(ContainerExited(container.name, 0, 1, False, NOW, NOW, message="é" * 2048))
    ended = [status.state.terminated for status in node.status.container_statuses or ()]
    assert [len((state.message or "").encode()) for state in ended if state is not None] == [2048] * 6


class TestEndedByTheNode:
    ORDER = EndPod("Terminated", "the node goes down", 10.0)

    def test_the_pod_fails_once_its_containers_have_ended(self) -> None:
        node = a_node(a_pod(), hold=lambda i: isinstance(i, StopContainer))
        node.give(Adopted())
        assert stops(node.give(self.ORDER)) == [("app", 10.0)]
        assert (node.status.phase, node.status.reason) == ("Running", None)
        assert node.condition("DisruptionTarget") == ("True", "TerminationByKubelet")
        node.exits("app", 0)
        assert (node.status.phase, node.status.reason) == ("Failed", "Terminated")
        assert node.status.message == "the node goes down"

    def test_a_shorter_grace_period_of_its_own_counts(self) -> None:
        node = started(a_pod(termination_grace_period_seconds=4))
        assert stops(node.give(self.ORDER)) == [("app", 4.0)]

    def test_a_pod_that_comes_too_late_starts_nothing(self) -> None:
        node = a_node(a_pod())
        node.give(self.ORDER)
        node.give(Adopted())
        assert not [i for i in node.done if isinstance(i, PullImage | CreateContainer)]
        assert node.status.phase == "Failed"

    def test_after_a_restart_of_the_agent_the_reason_is_still_known(self) -> None:
        node = started(a_pod())
        node.give(self.ORDER)
        again = a_node(a_pod(), node.status)
        again.give(Adopted())
        assert (again.status.phase, again.status.reason) == ("Failed", "Terminated")


def test_a_pod_is_not_over_while_a_sidecar_runs() -> None:
    pod = a_pod(a_container(), init_containers=(a_container("proxy", restart_policy="Always"),), restart_policy="Never")
    node = a_node(pod, hold=lambda i: isinstance(i, StopContainer))
    node.give(Adopted())
    node.exits("app", 0)
    assert node.status.phase == "Running"
    node.exits("proxy", 0)
    assert node.status.phase == "Succeeded"


def test_a_probe_that_fails_below_its_threshold_is_an_event_and_no_more() -> None:
    node = started(a_pod(a_container(liveness_probe=PROBE)))
    after = node.give(ProbeResult("app", 0, ProbeKind.LIVENESS, False, "not yet", decided=False))
    assert reasons(after) == ["Unhealthy"]
    assert steps(after) == []
