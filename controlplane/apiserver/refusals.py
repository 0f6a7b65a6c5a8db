"""The answers of the chain to who may not do something, and to what is not there, in the words of kube-apiserver."""

from orch.errors import Forbidden, NotFound


def no_such_resource() -> NotFound:
    return NotFound("the server could not find the requested resource")


def forbidden_to(
    user: str, verb: str, group: str, resource: str, subresource: str, namespace: str, name: str, why: str
) -> Forbidden:
    """Worded as the generic apiserver does (`responsewriters.ForbiddenStatusError`)."""
    if resource.startswith("/"):
        return Forbidden(f'forbidden: User "{user}" cannot {verb} path "{resource}": {why}')
    target = f"{resource}/{subresource}" if subresource else resource
    scope = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    subject = f"{resource}.{group}" if group else resource
    named = f'{subject} "{name}"' if name else subject
    message = f'{named} is forbidden: User "{user}" cannot {verb} resource "{target}" in API group "{group}" {scope}'
    return Forbidden(f"{message}: {why}", group=group, kind=resource, name=name)
