"""Lifecycle hooks of containers, performed once.

By kubelet's rules (pkg/kubelet/lifecycle/handlers.go): an exec must end with 0, of an HTTP request any answer will do,
tcpSocket is accepted by the API and always fails. Who ends a hook that takes too long is the caller's matter; an exec
ends with its container in any case.
"""

import asyncio

from nodeagent.pod_parts import ProbeTarget
from nodeagent.probes.checks import port_number
from nodeagent.probes.http import HttpFault, get_status, unverified_tls
from nodeagent.runtime.interface import Runtime, RuntimeFault
from orch.api.pod.container import HTTPGetAction, LifecycleHandler

EXEC_TIMEOUT_S = 86_400.0
"""Kubernetes sets none; nothing waits for ever."""
HTTP_TIMEOUT_S = 600.0
USER_AGENT = "kube-lifecycle/1.34"
"""What servers and log filters already know hooks by."""


async def run_hook(handler: LifecycleHandler, target: ProbeTarget, runtime: Runtime) -> str:
    """Why it failed; empty when it succeeded."""
    if handler.exec is not None:
        return await _exec(tuple(handler.exec.command or ()), target, runtime)
    if handler.http_get is not None:
        return await _request(handler.http_get, target)
    if handler.sleep is not None:
        await asyncio.sleep(handler.sleep.seconds)
        return ""
    return "invalid handler: tcpSocket is not supported for lifecycle hooks"


async def _exec(command: tuple[str, ...], target: ProbeTarget, runtime: Runtime) -> str:
    text = " ".join(command)
    try:
        result = await runtime.exec_sync(target.container_id, command, EXEC_TIMEOUT_S)
    except (RuntimeFault, TimeoutError) as fault:
        return f'command "{text}": {fault}'
    return f'command "{text}" exited with {result.exit_code}' if result.exit_code else ""


async def _request(action: HTTPGetAction, target: ProbeTarget) -> str:
    port = port_number(action.port, target.container)
    if port is None:
        return f"the container has no port named {action.port!r}"
    scheme, host = (action.scheme or "HTTP").lower(), action.host or target.pod_ip
    url = f"{scheme}://{host}:{port}/{(action.path or '').lstrip('/')}"
    headers = [("User-Agent", USER_AGENT), *((header.name, header.value) for header in action.http_headers or ())]
    try:
        async with asyncio.timeout(HTTP_TIMEOUT_S):
            await get_status(url, headers, unverified_tls())
    except (OSError, ValueError, HttpFault) as error:
        return f'Get "{url}": {error}'
    return ""
