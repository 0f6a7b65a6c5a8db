"""Asking in another's name: the Impersonate-* headers (`kubectl --as`), as apiserver's `WithImpersonation` reads them.

Each thing asked for (user, groups, uid, extra values) needs the verb "impersonate" on a resource of its own. What
follows in the chain sees the other user only.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import unquote

from aiohttp.web import BaseRequest
from multidict import CIMultiDictProxy

from controlplane.apiserver.authn import ANONYMOUS, UNAUTHENTICATED
from controlplane.registry.interface import Api, RequestContext, User
from controlplane.tokens.claims import USER_PREFIX, account_groups, namespace_of_user
from orch.api.identities import AUTHENTICATED
from orch.errors import InternalError

PREFIX = "impersonate-"
USER, GROUP, UID, EXTRA = "Impersonate-User", "Impersonate-Group", "Impersonate-Uid", "impersonate-extra-"
AUTHENTICATION_GROUP = "authentication.k8s.io"


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that the caller wants to be, as the resource that authorization knows it by."""

    resource: str
    name: str
    group: str = ""
    namespace: str = ""
    subresource: str = ""


async def as_asked(request: BaseRequest, context: RequestContext, api: Api) -> RequestContext:
    """The context of whom the headers name; without such headers the caller's. Raises Forbidden, InternalError."""
    if not any(name[: len(PREFIX)].lower() == PREFIX for name in request.headers):
        return context
    wanted = wanted_user(request.headers)
    for claim in claims(wanted):
        await api.authorize(
            context,
            "impersonate",
            claim.group,
            claim.resource,
            namespace=claim.namespace,
            name=claim.name,
            subresource=claim.subresource,
        )
    return replace(context, user=with_implied_groups(wanted))


def wanted_user(headers: CIMultiDictProxy[str]) -> User:
    """Exactly as the headers say. Raises InternalError, which is Kubernetes' answer to groups without a user."""
    extra: dict[str, tuple[str, ...]] = {}
    for name, value in headers.items():
        if name.lower().startswith(EXTRA):
            key = unquote(name.lower().removeprefix(EXTRA))
            extra[key] = (*extra.get(key, ()), value)
    user = User(headers.get(USER, ""), tuple(headers.getall(GROUP, ())), headers.get(UID, ""), extra)
    if not user.name:
        raise InternalError("the headers ask for groups, a uid or extra values without impersonating a user")
    return user


def claims(user: User) -> Iterator[Claim]:
    if namespace := namespace_of_user(user.name):
        account = user.name.removeprefix(f"{USER_PREFIX}{namespace}:")
        yield Claim("serviceaccounts", account, namespace=namespace)
    else:
        yield Claim("users", user.name)
    yield from (Claim("groups", group) for group in user.groups)
    if user.uid:
        yield Claim("uids", user.uid, AUTHENTICATION_GROUP)
    for key, values in user.extra.items():
        yield from (Claim("userextras", value, AUTHENTICATION_GROUP, subresource=key) for value in values)


def with_implied_groups(user: User) -> User:
    """A service account has its groups unless others are named; everybody but the anonymous user is authenticated."""
    groups = user.groups
    if not groups and (namespace := namespace_of_user(user.name)):
        groups = account_groups(namespace)
    if AUTHENTICATED not in groups and UNAUTHENTICATED not in groups:
        groups = (*groups, UNAUTHENTICATED if user.name == ANONYMOUS.name else AUTHENTICATED)
    return replace(user, groups=groups)
