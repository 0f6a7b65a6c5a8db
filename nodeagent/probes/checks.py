"""One probe, performed once. Bounded by the probe's timeout, whatever the container does."""

import asyncio
import ssl
from dataclasses import dataclass

from nodeagent.pod_parts import ProbeTarget
from nodeagent.probes.grpc_health import is_serving
from nodeagent.probes.http import HttpFault, get_status
from nodeagent.runtime.interface import Runtime, RuntimeFault
from orch.api.base import IntOrString
from orch.api.pod.container import Container, GRPCAction, HTTPGetAction, Probe, TCPSocketAction

TIMEOUT_DEFAULT_S = 1
MESSAGE_CHARS_MAX = 1_024


@dataclass(frozen=True, slots=True)
class Outcome:
    """`healthy` None: nothing is known, since the check itself could not be made."""

    healthy: bool | None
    message: str = ""


async def check(probe: Probe, target: ProbeTarget, runtime: Runtime, tls: ssl.SSLContext) -> Outcome:
    timeout_s = probe.timeout_seconds or TIMEOUT_DEFAULT_S
    if probe.exec is not None:
        return await _check_exec(tuple(probe.exec.command or ()), target, runtime, timeout_s)
    try:
        async with asyncio.timeout(timeout_s):
            if probe.http_get is not None:
                return await _check_http(probe.http_get, target, tls)
            if probe.tcp_socket is not None:
                return await _check_tcp(probe.tcp_socket, target)
            if probe.grpc is not None:
                return await _check_grpc(probe.grpc, target, timeout_s)
    except TimeoutError:
        return Outcome(False, f"no answer within {timeout_s}s")
    return Outcome(None, "the probe has no action")


async def _check_exec(command: tuple[str, ...], target: ProbeTarget, runtime: Runtime, timeout_s: int) -> Outcome:
    try:
        result = await runtime.exec_sync(target.container_id, command, timeout_s)
    except TimeoutError:
        return Outcome(False, f'command "{" ".join(command)}" timed out after {timeout_s}s')
    except RuntimeFault as fault:
        return Outcome(None, str(fault))
    return Outcome(result.exit_code == 0, result.output.decode(errors="replace").strip()[:MESSAGE_CHARS_MAX])


async def _check_http(action: HTTPGetAction, target: ProbeTarget, tls: ssl.SSLContext) -> Outcome:
    port = port_number(action.port, target.container)
    if port is None:
        return Outcome(None, f"the container has no port named {action.port!r}")
    url = (
        f"{(action.scheme or 'HTTP').lower()}://{action.host or target.pod_ip}:{port}/{(action.path or '').lstrip('/')}"
    )
    headers = [(header.name, header.value) for header in action.http_headers or ()]
    try:
        status = await get_status(url, headers, tls)
    except (OSError, ValueError, HttpFault) as error:
        return Outcome(False, f'Get "{url}": {_reason(error)}')
    return Outcome(200 <= status < 400, "" if 200 <= status < 400 else f"HTTP probe failed with statuscode: {status}")


async def _check_tcp(action: TCPSocketAction, target: ProbeTarget) -> Outcome:
    port = port_number(action.port, target.container)
    if port is None:
        return Outcome(None, f"the container has no port named {action.port!r}")
    host = action.host or target.pod_ip
    try:
        _, writer = await asyncio.open_connection(host, port)
    except (OSError, ValueError) as error:
        return Outcome(False, f"dial tcp {host}:{port}: {_reason(error)}")
    writer.close()
    return Outcome(True)


async def _check_grpc(action: GRPCAction, target: ProbeTarget, timeout_s: int) -> Outcome:
    healthy, message = await is_serving(f"{target.pod_ip}:{action.port}", action.service or "", timeout_s)
    return Outcome(healthy, message)


def port_number(port: IntOrString, container: Container) -> int | None:
    """A name is one of the container's ports."""
    if isinstance(port, int) or port.isdecimal():
        return int(port)
    return next((found.container_port for found in container.ports or () if found.name == port), None)


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
