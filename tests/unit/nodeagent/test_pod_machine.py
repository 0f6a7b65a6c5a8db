"""The pod machine: what is done when, and what never is."""

from collections.abc import Callable
from dataclasses import replace as dc_replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from nodeagent.container_state import Stage
from nodeagent.pod_events import (
    Adopted,
    ContainerExited,
    ContainerStarted,
    CreateFailed,
    EndPod,
    HookEnded,
    HookKind,
    ImageFailed,
    InputsChanged,
    PodDesired,
    PodRemoved,
    ProbeKind,
    ProbeResult,
    SandboxFailed,
    StartFailed,
    StopFailed,
    TeardownFailed,
    TimerFired,
    VolumesFailed,
)
from nodeagent.pod_instructions import (
    CreateContainer,
    Instruction,
    PrepareVolumes,
    PullImage,
    RemoveContainer,
    RemoveSandbox,
    RemoveVolumes,
    ReportStatus,
    RunSandbox,
    SetTimer,
    StartContainer,
    StartProbes,
    StopContainer,
    StopProbes,
    StopSandbox,
)
from nodeagent.runtime.interface import ContainerState, ContainerStatus, SandboxState, SandboxStatus
from orch.api.pod.container import (
    EphemeralContainer,
    Lifecycle,
    LifecycleHandler,
    Probe,
    SleepAction,
    TCPSocketAction,
)
from orch.api.pod.spec import Pod
from tests.unit.nodeagent.machine import NOW, a_container, a_node, a_pod, answer, reasons, started, steps

A_PROBE = Probe(tcp_socket=TCPSocketAction(port=80))


def deleted(pod: Pod, grace_s: int = 5) -> PodDesired:
    meta = replace(pod.metadata, deletion_timestamp=NOW, deletion_grace_period_seconds=grace_s)
    return PodDesired(replace(pod, metadata=meta))


def holding(*kinds: type) -> Callable[[Instruction], bool]:
    return lambda instruction: isinstance(instruction, kinds)


def a_sandbox(state: SandboxState = SandboxState.READY) -> SandboxStatus:
    return SandboxStatus("web-uid", "default", "web", state, NOW, "10.244.0.5")


def found(state: ContainerState, attempt: int = 0, **fields: object) -> ContainerStatus:
    started_at = NOW if state is not ContainerState.CREATED else None
    status = ContainerStatus(f"app-{attempt}", "web-uid", "app", attempt, "sha256:1", state, NOW, started_at)
    return dc_replace(status, **fields)


class TestStart:
    def test_a_pod_comes_up_step_by_step(self) -> None:
        node = a_node(a_pod())
        assert steps(node.give(Adopted())) == [
            RunSandbox(),
            PrepareVolumes(),
            PullImage("app", "app:1"),
            CreateContainer("app", 0, "app:1", "sha256:1"),
            StartContainer("app", 0, "app-0"),
        ]
        assert node.status.phase == "Running"

    @pytest.mark.parametrize("missing", [RunSandbox, PrepareVolumes])
    def test_nothing_is_created_before_sandbox_and_volumes_are_ready(self, missing: type) -> None:
        node = a_node(a_pod(), hold=holding(missing))
        assert steps(node.give(Adopted())) == [RunSandbox(), PrepareVolumes()]

    def test_a_failed_sandbox_is_tried_again_with_back_off(self) -> None:
        node = a_node(a_pod(), hold=holding(RunSandbox))
        node.give(Adopted())
        delays = []
        for _ in range(3):
            delays += [i.delay_s for i in node.give(SandboxFailed("no address left")) if isinstance(i, SetTimer)]
            assert RunSandbox() in node.give(TimerFired("sandbox"))
        assert delays == [1.0, 2.0, 4.0]

    def test_failed_volumes_are_tried_again_when_what_they_need_comes(self) -> None:
        node = a_node(a_pod(), hold=holding(PrepareVolumes))
        node.give(Adopted())
        assert reasons(node.give(VolumesFailed('configmap "page" not found'))) == ["FailedMount"]
        assert steps(node.give(InputsChanged())) == [PrepareVolumes()]

    def test_volumes_are_refreshed_when_their_sources_change(self) -> None:
        node = started(a_pod())
        assert steps(node.give(InputsChanged())) == [PrepareVolumes()]
        assert node.status.phase == "Running"

    def test_all_main_containers_start_at_once(self) -> None:
        node = a_node(a_pod(a_container("a"), a_container("b")), hold=holding(CreateContainer))
        done = node.give(Adopted())
        assert [i.container for i in done if isinstance(i, CreateContainer)] == ["a", "b"]


class TestInitContainers:
    def test_they_run_one_after_the_other_and_then_the_main_ones(self) -> None:
        pod = a_pod(a_container(), init_containers=(a_container("first"), a_container("second")))
        node = started(pod)
        assert node.status.phase == "Pending"
        assert node.condition("Initialized") == ("False", "ContainersNotInitialized")
        assert [c.stage for c in node.machine.containers] == [Stage.RUNNING, Stage.WAITING, Stage.WAITING]
        node.exits("first", 0)
        assert [c.stage for c in node.machine.containers] == [Stage.FINISHED, Stage.RUNNING, Stage.WAITING]
        node.exits("second", 0)
        assert node.status.phase == "Running"
        assert node.condition("Initialized") == ("True", None)

    def test_a_failing_one_is_restarted_unless_the_pod_never_restarts(self) -> None:
        node = started(a_pod(a_container(), init_containers=(a_container("first"),)))
        assert PullImage("first", "first:1") in node.exits("first", 1)
        never = started(a_pod(a_container(), init_containers=(a_container("first"),), restart_policy="Never"))
        assert StopSandbox() in never.exits("first", 1)
        assert never.status.phase == "Failed"

    def test_a_sidecar_lets_the_others_go_on_and_ends_last(self) -> None:
        sidecar = a_container("proxy", restart_policy="Always")
        node = started(a_pod(a_container(), init_containers=(sidecar,), restart_policy="Never"))
        assert node.status.phase == "Running"
        done = steps(node.exits("app", 0))
        assert done == [StopContainer("proxy", 0, "proxy-0", 30.0), StopSandbox()]
        assert node.status.phase == "Succeeded"

    def test_a_sidecar_does_not_wait_for_the_end_of_what_does_not_run(self) -> None:
        sidecar = a_container("proxy", restart_policy="Always")
        node = started(a_pod(a_container(), init_containers=(sidecar,)))
        node.exits("app", 1)
        node.exits("app", 1)
        assert node.status.container_statuses[0].state.waiting.reason == "CrashLoopBackOff"
        assert steps(node.give(PodRemoved()))[0] == StopContainer("proxy", 0, "proxy-0", 30.0)


class TestRestart:
    def test_the_first_restart_is_immediate_and_then_the_delay_doubles_to_a_minute(self) -> None:
        node = started(a_pod())
        assert steps(node.later(1).exits("app", 1))[0] == PullImage("app", "app:1")
        delays = []
        for _ in range(8):
            delays += [i.delay_s for i in node.later(1).exits("app", 1) if isinstance(i, SetTimer)]
            assert node.status.container_statuses[0].state.waiting.reason == "CrashLoopBackOff"
            node.give(TimerFired("container/app"))
        assert delays == [1, 2, 4, 8, 16, 32, 60, 60]

    def test_ten_quiet_minutes_clear_the_back_off(self) -> None:
        node = started(a_pod())
        for _ in range(3):
            node.later(1).exits("app", 1)
            node.give(TimerFired("container/app"))
        assert not [i for i in node.later(600).exits("app", 1) if isinstance(i, SetTimer)]

    @pytest.mark.parametrize(
        ("policy", "code", "phase"),
        [
            pytest.param("Never", 0, "Succeeded", id="never, success"),
            pytest.param("Never", 1, "Failed", id="never, failure"),
            pytest.param("OnFailure", 0, "Succeeded", id="on failure, success"),
            pytest.param("OnFailure", 1, "Running", id="on failure, failure"),
            pytest.param("Always", 0, "Running", id="always, success"),
        ],
    )
    def test_the_policy_decides(self, policy: str, code: int, phase: str) -> None:
        node = started(a_pod(restart_policy=policy))
        done = steps(node.exits("app", code))
        assert node.status.phase == phase
        assert done[0] == (PullImage("app", "app:1") if phase == "Running" else StopSandbox())

    def test_the_earlier_attempt_is_removed_when_the_next_has_started(self) -> None:
        node = started(a_pod())
        assert RemoveContainer("app", 0, "app-0") in node.exits("app", 1)

    def test_an_exit_that_comes_before_the_answer_to_start(self) -> None:
        node = a_node(a_pod(restart_policy="Never"), hold=holding(StartContainer))
        node.give(Adopted())
        node.exits("app", 3)
        assert node.status.phase == "Failed"
        assert node.give(ContainerStarted("app", 0, node.now)) == []

    def test_an_exit_told_twice_counts_once(self) -> None:
        node = started(a_pod())
        node.exits("app", 1, attempt=0)
        assert node.exits("app", 1, attempt=0) == []
        assert node.status.container_statuses[0].restart_count == 1

    def test_a_container_that_cannot_be_started_counts_as_ended(self) -> None:
        node = a_node(a_pod(restart_policy="Never"), hold=holding(StartContainer))
        node.give(Adopted())
        node.give(StartFailed("app", 0, "exec: no such file"))
        terminated = node.status.container_statuses[0].state.terminated
        assert (terminated.exit_code, terminated.reason) == (128, "StartError")

    def test_a_changed_image_replaces_the_container_whatever_the_policy(self) -> None:
        node = started(a_pod(restart_policy="Never"))
        done = steps(node.give(PodDesired(a_pod(a_container(image="app:2"), restart_policy="Never"))))
        assert done[:2] == [StopContainer("app", 0, "app-0", 30.0), PullImage("app", "app:2")]
        assert node.status.phase == "Running"


class TestImagesAndConfiguration:
    def test_a_failing_pull_backs_off_and_says_why(self) -> None:
        node = a_node(a_pod(), hold=holding(PullImage))
        node.give(Adopted())
        node.give(ImageFailed("app", "app:1", "ErrImagePull", "404"))
        waiting = node.status.container_statuses[0].state.waiting
        assert (waiting.reason, waiting.message) == ("ErrImagePull", "404")
        node.give(TimerFired("container/app"))
        node.give(ImageFailed("app", "app:1", "ErrImagePull", "404"))
        assert node.status.container_statuses[0].state.waiting.reason == "ImagePullBackOff"

    @pytest.mark.parametrize("last", [CreateContainer, StartContainer])
    def test_an_image_that_changes_while_the_container_is_made_replaces_it(self, last: type) -> None:
        node = a_node(a_pod(restart_policy="Never"), hold=lambda i: isinstance(i, last))
        node.give(Adopted())
        node.hold = lambda i: False
        assert steps(node.give(PodDesired(a_pod(a_container(image="app:2"), restart_policy="Never")))) == []
        answered = answer(node.held[0], NOW)
        assert answered is not None
        done = steps(node.give(answered))
        assert PullImage("app", "app:2") in done
        assert StartContainer("app", 1, "app-1") in done

    @pytest.mark.parametrize(("image", "replaced"), [("app:1", True), ("app:2", False), ("", False)])
    def test_a_restarted_agent_replaces_what_runs_from_another_image(self, image: str, replaced: bool) -> None:
        node = a_node(a_pod(a_container(image="app:2")))
        sandbox = SandboxStatus("web-uid", "default", "web", SandboxState.READY, NOW, "10.244.0.5")
        found = ContainerStatus("app-0", "web-uid", "app", 0, "sha256:1", ContainerState.RUNNING, NOW, NOW, image=image)
        done = steps(node.give(Adopted(sandbox, (found,))))
        assert (StopContainer("app", 0, "app-0", 30.0) in done) == (PullImage("app", "app:2") in done) == replaced

    def test_a_corrected_image_is_tried_at_once(self) -> None:
        node = a_node(a_pod(), hold=holding(PullImage))
        node.give(Adopted())
        node.give(ImageFailed("app", "app:1", "ErrImagePull", "404"))
        assert steps(node.give(PodDesired(a_pod(a_container(image="app:2"))))) == [PullImage("app", "app:2")]
        assert node.give(ImageFailed("app", "app:1", "ErrImagePull", "late answer")) == []

    def test_a_configuration_error_waits_for_its_inputs(self) -> None:
        node = a_node(a_pod(), hold=holding(CreateContainer))
        node.give(Adopted())
        node.give(CreateFailed("app", 0, "CreateContainerConfigError", 'secret "s" not found'))
        assert node.status.container_statuses[0].state.waiting.reason == "CreateContainerConfigError"
        assert PullImage("app", "app:1") in node.give(InputsChanged())


class TestProbes:
    def test_a_container_with_a_readiness_probe_is_ready_when_it_says_so(self) -> None:
        node = started(a_pod(a_container(readiness_probe=A_PROBE)))
        assert StartProbes("app", 0, "app-0") in node.done
        assert node.condition("Ready") == ("False", "ContainersNotReady")
        node.give(ProbeResult("app", 0, ProbeKind.READINESS, True))
        assert node.condition("Ready") == ("True", None)
        assert reasons(node.give(ProbeResult("app", 0, ProbeKind.READINESS, False, "refused"))) == ["Unhealthy"]
        assert node.condition("Ready") == ("False", "ContainersNotReady")

    def test_a_failed_liveness_probe_restarts_the_container(self) -> None:
        node = started(a_pod(a_container(liveness_probe=A_PROBE), termination_grace_period_seconds=7))
        done = steps(node.give(ProbeResult("app", 0, ProbeKind.LIVENESS, False, "refused")))
        assert done[:2] == [StopProbes("app"), StopContainer("app", 0, "app-0", 7.0)]
        assert CreateContainer("app", 1, "app:1", "sha256:1") in done

    def test_a_probes_own_grace_period_wins(self) -> None:
        probe = replace(A_PROBE, termination_grace_period_seconds=1)
        node = started(a_pod(a_container(liveness_probe=probe)))
        done = node.give(ProbeResult("app", 0, ProbeKind.LIVENESS, False))
        assert StopContainer("app", 0, "app-0", 1.0) in done

    def test_nothing_is_ready_before_the_startup_probe_has_succeeded(self) -> None:
        node = started(a_pod(a_container(startup_probe=A_PROBE)))
        assert node.status.container_statuses[0].started is False
        node.give(ProbeResult("app", 0, ProbeKind.STARTUP, True))
        assert node.status.container_statuses[0].started is True
        assert node.condition("Ready") == ("True", None)


class TestEnd:
    def test_a_deleted_pod_is_stopped_gracefully_and_every_trace_removed(self) -> None:
        node = started(a_pod())
        done = node.give(deleted(a_pod(), grace_s=5))
        assert steps(done) == [StopContainer("app", 0, "app-0", 5.0), StopSandbox(), RemoveSandbox(), RemoveVolumes()]
        assert done[-1] == ReportStatus(node.status, stopped=True)
        assert node.machine.gone

    def test_a_second_deletion_with_less_grace_hurries(self) -> None:
        node = started(a_pod())
        node.hold = holding(StopContainer)
        node.give(deleted(a_pod(), grace_s=30))
        assert steps(node.give(deleted(a_pod(), grace_s=0))) == [StopContainer("app", 0, "app-0", 0.0)]
        assert steps(node.give(deleted(a_pod(), grace_s=30))) == []

    def test_a_removed_pod_is_stopped_with_its_own_grace_period(self) -> None:
        node = started(a_pod(termination_grace_period_seconds=9))
        assert steps(node.give(PodRemoved()))[0] == StopContainer("app", 0, "app-0", 9.0)

    @pytest.mark.parametrize("in_flight", [RunSandbox, PrepareVolumes, CreateContainer, StartContainer, StopContainer])
    def test_the_sandbox_is_stopped_only_when_nothing_is_in_flight(self, in_flight: type) -> None:
        node = a_node(a_pod(), hold=holding(in_flight))
        node.give(Adopted())
        assert StopSandbox() not in node.give(PodRemoved())
        node.hold = lambda instruction: False
        for instruction in node.held:
            from tests.unit.nodeagent.machine import answer

            event = answer(instruction, node.now)
            assert event is not None
            node.give(event)
        assert node.machine.gone

    def test_a_pull_in_flight_holds_nothing_up(self) -> None:
        node = a_node(a_pod(), hold=holding(PullImage))
        node.give(Adopted())
        assert StopSandbox() in node.give(PodRemoved())

    def test_a_failed_stop_is_tried_again(self) -> None:
        node = started(a_pod())
        node.hold = holding(StopContainer)
        node.give(PodRemoved())
        assert SetTimer("container/app", 1.0) in node.give(StopFailed("app", 0, "still there"))
        assert StopContainer("app", 0, "app-0", 30.0) in node.give(TimerFired("container/app"))

    @pytest.mark.parametrize("step", [StopSandbox, RemoveSandbox, RemoveVolumes])
    def test_a_failed_teardown_goes_on_where_it_stopped(self, step: type) -> None:
        node = started(a_pod())
        node.hold = holding(step)
        node.give(PodRemoved())
        assert SetTimer("teardown", 1.0) in node.give(TeardownFailed("busy"))
        assert steps(node.give(TimerFired("teardown"))) == [step()]

    def test_nothing_is_started_once_it_ends(self) -> None:
        node = started(a_pod())
        node.hold = holding(StopContainer)
        node.give(PodRemoved())
        node.hold = lambda instruction: False
        done = node.exits("app", 1)
        assert not [i for i in done if isinstance(i, PullImage | CreateContainer | StartContainer | RunSandbox)]

    def test_a_deadline_fails_the_pod(self) -> None:
        node = started(a_pod(active_deadline_seconds=20))
        assert SetTimer("deadline", 20.0) in node.done
        assert StopContainer("app", 0, "app-0", 30.0) in node.give(TimerFired("deadline"))
        assert (node.status.phase, node.status.reason) == ("Failed", "DeadlineExceeded")

    def test_a_changed_deadline_counts_from_the_pods_start(self) -> None:
        node = started(a_pod())
        shorter = PodDesired(a_pod(active_deadline_seconds=20))
        assert SetTimer("deadline", 15.0) in node.later(5).give(shorter)
        assert steps(node.later(1).give(shorter)) == []

    def test_a_finished_pod_keeps_its_phase_and_stays_until_it_is_deleted(self) -> None:
        node = started(a_pod(restart_policy="Never"))
        node.exits("app", 0)
        assert not node.machine.gone
        node.give(deleted(a_pod(restart_policy="Never")))
        assert node.status.phase == "Succeeded"
        assert node.machine.gone


class TestAdoption:
    def test_a_running_container_is_left_alone(self) -> None:
        before = started(a_pod())
        node = a_node(a_pod(), stored=before.status)
        assert steps(node.give(Adopted(a_sandbox(), (found(ContainerState.RUNNING),)))) == [PrepareVolumes()]
        assert node.status == before.status

    def test_a_ready_container_stays_ready_until_a_probe_says_otherwise(self) -> None:
        pod = a_pod(a_container(readiness_probe=A_PROBE))
        before = started(pod)
        before.give(ProbeResult("app", 0, ProbeKind.READINESS, True))
        node = a_node(pod, stored=before.status)
        assert StartProbes("app", 0, "app-0") in node.give(Adopted(a_sandbox(), (found(ContainerState.RUNNING),)))
        assert node.condition("Ready") == ("True", None)

    def test_a_container_that_was_only_created_is_started(self) -> None:
        node = a_node(a_pod())
        assert StartContainer("app", 0, "app-0") in node.give(Adopted(a_sandbox(), (found(ContainerState.CREATED),)))

    def test_an_exit_that_nobody_saw_is_acted_on(self) -> None:
        node = a_node(a_pod(), stored=started(a_pod()).status)
        exited = found(ContainerState.EXITED, exit_code=7, finished_at=NOW)
        done = node.give(Adopted(a_sandbox(), (exited,)))
        assert CreateContainer("app", 1, "app:1", "sha256:1") in done
        assert node.status.container_statuses[0].last_state.terminated.exit_code == 7

    def test_only_the_newest_attempt_counts(self) -> None:
        node = a_node(a_pod())
        both = (found(ContainerState.EXITED, 2, exit_code=1, finished_at=NOW), found(ContainerState.RUNNING, 3))
        assert RemoveContainer("app", 2, "app-2") in node.give(Adopted(a_sandbox(), both))
        assert node.status.container_statuses[0].restart_count == 3

    def test_after_a_reboot_the_restart_is_counted(self) -> None:
        node = a_node(a_pod(), stored=started(a_pod()).status)
        assert CreateContainer("app", 1, "app:1", "sha256:1") in node.give(Adopted())
        last = node.status.container_statuses[0].last_state.terminated
        assert (last.exit_code, last.reason) == (137, "ContainerStatusUnknown")

    def test_after_a_reboot_a_pod_that_never_restarts_has_failed(self) -> None:
        pod = a_pod(restart_policy="Never")
        node = a_node(pod, stored=started(pod).status)
        assert not [i for i in node.give(Adopted()) if isinstance(i, CreateContainer)]
        assert node.status.phase == "Failed"

    def test_after_a_reboot_init_containers_run_again(self) -> None:
        pod = a_pod(a_container(), init_containers=(a_container("first"),))
        before = started(pod)
        before.exits("first", 0)
        node = a_node(pod, stored=before.status)
        assert CreateContainer("first", 1, "first:1", "sha256:1") in node.give(Adopted())

    def test_a_finished_pod_is_not_run_again(self) -> None:
        pod = a_pod(restart_policy="Never")
        before = started(pod)
        before.exits("app", 0)
        node = a_node(pod, stored=before.status)
        assert steps(node.give(Adopted())) == [StopSandbox()]
        assert node.status.phase == "Succeeded"

    def test_a_pod_that_was_being_deleted_is_removed_on(self) -> None:
        pod = deleted(a_pod()).pod
        node = a_node(pod, stored=started(a_pod()).status)
        node.give(Adopted(a_sandbox(), (found(ContainerState.RUNNING),)))
        assert node.machine.gone

    def test_a_broken_sandbox_is_replaced(self) -> None:
        node = a_node(a_pod(), stored=started(a_pod()).status)
        exited = found(ContainerState.EXITED, exit_code=137, finished_at=NOW)
        done = steps(node.give(Adopted(a_sandbox(SandboxState.NOT_READY), (exited,))))
        assert done[:2] == [RemoveSandbox(), RunSandbox()]


EVENTS = st.sampled_from(
    [
        InputsChanged(), PodRemoved(), deleted(a_pod(), 1), PodDesired(a_pod(a_container(image="app:2"))),
        TimerFired("container/app"), TimerFired("sandbox"), TimerFired("volumes"), TimerFired("teardown"),
        SandboxFailed("x"), VolumesFailed("x"), TeardownFailed("x"), StartFailed("app", 0, "x"),
        CreateFailed("app", 0, "CreateContainerError", "x"), ImageFailed("app", "app:1", "ErrImagePull", "x"),
        ContainerExited("app", 0, 1, False, NOW, NOW), ContainerExited("app", 1, 0, False, NOW, NOW),
        ProbeResult("app", 0, ProbeKind.LIVENESS, False), StopFailed("app", 0, "x"), TimerFired("hook/app"),
        HookEnded("app", 0, HookKind.POST_START), HookEnded("app", 0, HookKind.PRE_STOP, "x"), EndPod("x", "x", 2.0),
        HookEnded("proxy", 0, HookKind.PRE_STOP), ContainerExited("proxy", 0, 1, False, NOW, NOW),
    ]
)  # fmt: skip
SLEEP = LifecycleHandler(sleep=SleepAction(seconds=1))
HOOKS = Lifecycle(post_start=SLEEP, pre_stop=SLEEP)
SIDECAR = a_container("proxy", restart_policy="Always", lifecycle=Lifecycle(pre_stop=SLEEP))
PLANS = st.sampled_from(
    [
        a_pod(),
        a_pod(a_container(lifecycle=HOOKS)),
        a_pod(
            a_container(lifecycle=HOOKS),
            init_containers=(SIDECAR,),
            ephemeral_containers=(EphemeralContainer(name="debug", image="debug:1"),),
        ),
    ]
)


@given(PLANS, st.lists(EVENTS, max_size=25), st.sets(st.sampled_from(range(40)), max_size=10))
def test_whatever_happens_the_invariants_hold(pod: Pod, events: list[object], unanswered: set[int]) -> None:
    """No container outside of a ready sandbox; one attempt number once; nothing starts once it ends; a pod can end."""
    count = iter(range(1000))
    node = a_node(pod, hold=lambda instruction: next(count) in unanswered)
    node.give(Adopted())
    for event in events:
        node.give(event)  # type: ignore[arg-type]
        node.now += timedelta(seconds=1)
    node.finish()
    assert node.machine.gone
    created = [(i.container, i.attempt) for i in node.done if isinstance(i, StartContainer)]
    assert len(created) == len(set(created))
    stops = [index for index, i in enumerate(node.done) if isinstance(i, StopSandbox)]
    starts = [index for index, i in enumerate(node.done) if isinstance(i, CreateContainer | StartContainer)]
    assert not stops or not [index for index in starts if index > stops[0]]
