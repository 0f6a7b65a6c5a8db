"""/healthz, /livez, /readyz and /version: open to everybody, answered without the API chain."""

import platform
from collections.abc import Awaitable, Callable, Mapping

from aiohttp.web import Response

from controlplane.apiserver.query import Query
from controlplane.apiserver.responses import plain_response
from controlplane.apiserver.settings import GIT_VERSION, KUBERNETES_MAJOR, KUBERNETES_MINOR

HEALTH_PATHS = ("healthz", "livez", "readyz")

Check = Callable[[], Awaitable[str]]
"""Empty when all is well, else what is wrong."""


async def health(parts: list[str], query: Query, checks: Mapping[str, Check]) -> Response:
    """`/readyz`, `/readyz?verbose`, `/readyz/<check>`. /livez asks no check: a server that answers is alive."""
    probe, excluded = parts[0], query.all("exclude")
    asked = {} if probe == "livez" else {name: check for name, check in checks.items() if name not in excluded}
    if len(parts) > 1:
        asked = {name: check for name, check in asked.items() if name == parts[1]}
        if not asked and parts[1] != "ping":
            return Response(text="404 page not found\n", status=404)
    results = {"ping": "", **{name: await check() for name, check in asked.items()}}
    failed = any(results.values())
    if failed or query.flag("verbose"):
        return Response(text=_report(probe, results, failed), status=500 if failed else 200)
    return Response(text="ok")


def _report(probe: str, results: Mapping[str, str], failed: bool) -> str:
    lines = [f"[-]{name} failed: {fault}" if fault else f"[+]{name} ok" for name, fault in results.items()]
    return "\n".join([*lines, f"{probe} check {'failed' if failed else 'passed'}", ""])


def version() -> Response:
    """version.Info of Kubernetes."""
    return plain_response(
        {
            "major": KUBERNETES_MAJOR,
            "minor": KUBERNETES_MINOR,
            "gitVersion": GIT_VERSION,
            "gitCommit": "",
            "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": f"python{platform.python_version()}",
            "compiler": platform.python_implementation(),
            "platform": f"linux/{_architecture(platform.machine())}",
        }
    )


def _architecture(machine: str) -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
