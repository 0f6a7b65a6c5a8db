"""Rules of probes and lifecycle hooks, and of the handlers that they share."""

from collections.abc import Sequence
from typing import Any

from orch.api.base import IntOrString
from orch.api.causes import Causes
from orch.api.formats import http_header_problem, port_name_problem, port_problem
from orch.api.pod.container import HTTPGetAction, Lifecycle, LifecycleHandler, Probe

STOP_SIGNALS = (
    "SIGABRT", "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCLD", "SIGCONT", "SIGFPE", "SIGHUP", "SIGILL", "SIGINT", "SIGIO",
    "SIGIOT", "SIGKILL", "SIGPIPE", "SIGPOLL", "SIGPROF", "SIGPWR", "SIGQUIT", "SIGSEGV", "SIGSTKFLT", "SIGSTOP",
    "SIGSYS", "SIGTERM", "SIGTRAP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGUSR1", "SIGUSR2", "SIGVTALRM",
    "SIGWINCH", "SIGXCPU", "SIGXFSZ", "SIGRTMIN", *(f"SIGRTMIN+{n}" for n in range(1, 16)),
    *(f"SIGRTMAX-{n}" for n in range(14, 0, -1)), "SIGRTMAX",
)  # fmt: skip
"""core/v1 Signal, on Linux."""
_TIMINGS = (
    ("initialDelaySeconds", "initial_delay_seconds"),
    ("timeoutSeconds", "timeout_seconds"),
    ("periodSeconds", "period_seconds"),
    ("successThreshold", "success_threshold"),
    ("failureThreshold", "failure_threshold"),
)


def probe_rules(causes: Causes, path: str, probe: Probe | None, *, success_must_be_one: bool = False) -> None:
    if probe is None:
        return
    _handler_rules(causes, path, probe, ("exec", "grpc", "httpGet", "tcpSocket"))
    if probe.grpc is not None and (problem := port_problem(probe.grpc.port)):
        causes.invalid(f"{path}.grpc.port", probe.grpc.port, problem)
    for name, attribute in _TIMINGS:
        causes.not_negative(f"{path}.{name}", getattr(probe, attribute))
    if success_must_be_one and probe.success_threshold != 1:
        causes.invalid(f"{path}.successThreshold", probe.success_threshold, "must be 1")
    grace_s = probe.termination_grace_period_seconds
    if grace_s is not None and grace_s <= 0:
        causes.invalid(f"{path}.terminationGracePeriodSeconds", grace_s, "must be greater than 0")


def lifecycle_rules(causes: Causes, path: str, lifecycle: Lifecycle | None, grace_period_s: int) -> None:
    if lifecycle is None:
        return
    causes.maybe_one_of(f"{path}.stopSignal", lifecycle.stop_signal, STOP_SIGNALS)
    for name, handler in (("postStart", lifecycle.post_start), ("preStop", lifecycle.pre_stop)):
        if handler is None:
            continue
        _handler_rules(causes, f"{path}.{name}", handler, ("exec", "httpGet", "sleep", "tcpSocket"))
        if handler.sleep is not None and not 0 <= handler.sleep.seconds <= grace_period_s:
            causes.invalid(
                f"{path}.{name}.sleep.seconds",
                handler.sleep.seconds,
                "must be non-negative and less than terminationGracePeriodSeconds "
                f"({grace_period_s}). Enable AllowPodLifecycleSleepActionZeroValue feature gate for zero sleep.",
            )


def _handler_rules(causes: Causes, path: str, handler: Probe | LifecycleHandler, names: Sequence[str]) -> None:
    given = [name for name in names if getattr(handler, _ATTRIBUTES[name]) is not None]
    if not given:
        causes.required(path, "must specify a handler type")
    for name in given[1:]:
        causes.forbidden(f"{path}.{name}", "may not specify more than 1 handler type")
    if handler.exec is not None and not handler.exec.command:
        causes.required(f"{path}.exec.command")
    if handler.http_get is not None:
        _http_get_rules(causes, f"{path}.httpGet", handler.http_get)
    if handler.tcp_socket is not None:
        port_or_name_rules(causes, f"{path}.tcpSocket.port", handler.tcp_socket.port)


_ATTRIBUTES: dict[str, Any] = {
    "exec": "exec", "grpc": "grpc", "httpGet": "http_get", "sleep": "sleep", "tcpSocket": "tcp_socket",
}  # fmt: skip


def _http_get_rules(causes: Causes, path: str, action: HTTPGetAction) -> None:
    if not action.path:
        causes.required(f"{path}.path")
    port_or_name_rules(causes, f"{path}.port", action.port)
    causes.one_of(f"{path}.scheme", action.scheme, ("HTTP", "HTTPS"))
    for index, header in enumerate(action.http_headers or ()):
        causes.check(f"{path}.httpHeaders[{index}].name", header.name, http_header_problem(header.name))


def port_or_name_rules(causes: Causes, path: str, port: IntOrString) -> None:
    problem = port_problem(port) if isinstance(port, int) else port_name_problem(port)
    if problem:
        causes.invalid(path, port, problem)
