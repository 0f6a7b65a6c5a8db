"""Who asks: a client certificate (CN = user, O = groups), a bearer token, or nobody (system:anonymous).

Decides nothing about what a user may do. A wrong token is refused with 401; no credentials at all are not: the
anonymous user goes through authorization like any other and normally ends in 403 (Kubernetes' default).
"""

from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

from aiohttp.web import BaseRequest

from controlplane.registry.interface import User
from orch.api.identities import AUTHENTICATED
from orch.errors import Unauthorized

UNAUTHENTICATED = "system:unauthenticated"
ANONYMOUS = User("system:anonymous", (UNAUTHENTICATED,))

TokenAuthenticator = Callable[[str], Awaitable[User | None]]
"""A bearer token's user, None when it is not valid."""


async def authenticate(request: BaseRequest, token_user: TokenAuthenticator) -> User:
    """Raises Unauthorized. TLS has verified the certificate against the client CA before."""
    transport = request.transport
    certificate = transport.get_extra_info("peercert") if transport is not None else None
    if certificate:
        return user_of_subject(certificate["subject"])
    authorization = request.headers.get("Authorization")
    if authorization is None:
        return ANONYMOUS
    scheme, _, token = authorization.partition(" ")
    user = await token_user(token.strip()) if scheme.lower() == "bearer" else None
    if user is None:
        raise Unauthorized("Unauthorized")
    return user


@lru_cache(maxsize=4096)
def user_of_subject(subject: tuple[tuple[tuple[str, str], ...], ...]) -> User:
    """`subject` as the ssl module gives it: relative distinguished names of (attribute, value) pairs."""
    pairs: list[tuple[str, Any]] = [pair for name in subject for pair in name]
    names = [value for attribute, value in pairs if attribute == "commonName"]
    if not names:
        raise Unauthorized("the client certificate has no common name")
    groups = [value for attribute, value in pairs if attribute == "organizationName"]
    return User(names[-1], (*groups, AUTHENTICATED))
