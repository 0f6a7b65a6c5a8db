"""The subresources that connect a client with what runs: options and methods, as Kubernetes' OpenAPI lists them."""

from dataclasses import dataclass

from controlplane.apiserver.openapi.parameters import QueryParameter


@dataclass(frozen=True, slots=True)
class Connect:
    """`options` is the kind of the query's options; `{kind}` in it stands for the parent's."""

    options: str
    parameters: tuple[QueryParameter, ...]
    verbs: tuple[str, ...] = ("get", "create")
    has_path: bool = False
    """Also served on every path below."""


def _flags(*names: str) -> tuple[QueryParameter, ...]:
    return tuple(QueryParameter(name, "boolean") for name in names)


_CONTAINER = (QueryParameter("container"), *_flags("stderr", "stdin", "stdout", "tty"))
_PROXY_VERBS = ("get", "create", "replace", "patch", "delete", "head", "options")
CONNECTS = {
    "attach": Connect("PodAttachOptions", _CONTAINER),
    "exec": Connect("PodExecOptions", (QueryParameter("command"), *_CONTAINER)),
    "portforward": Connect("PodPortForwardOptions", (QueryParameter("ports", "integer"),)),
    "proxy": Connect("{kind}ProxyOptions", (QueryParameter("path"),), _PROXY_VERBS, has_path=True),
}
