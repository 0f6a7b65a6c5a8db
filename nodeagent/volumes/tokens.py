"""ServiceAccount tokens of pods: which a pod needs, what of them its volumes hold already, and when they are due.

A token lies nowhere but in the pod's volume, on tmpfs, so that an agent that was restarted goes on with it. It is
renewed at 80 % of its life or after a day (as kubelet's pkg/kubelet/token), counted from when it came, since the node's
clock may be set meanwhile and differ from the server's; only of one that an earlier agent left the node's clock says
how old it is. One that cannot be renewed is kept: with the control plane gone nobody would take a newer one either.
"""

import base64
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from nodeagent.volumes.errors import VolumeFault
from nodeagent.volumes.folders import Folders
from nodeagent.volumes.payload import TokenKey, token_key
from orch.api.pod.spec import Pod
from orch.errors import OrchError
from orch.kit.backoff import Backoff
from orch.kit.clock import Clock
from protos import node_pb2

log = structlog.get_logger(__name__)

LIFE_USED_MAX = 0.8
AGE_MAX_S = 24 * 3600
RETRY_DELAY_MIN_S, RETRY_DELAY_MAX_S = 1.0, 60.0

IssueToken = Callable[[node_pb2.IssueTokenRequest], Awaitable[node_pb2.IssueTokenResponse]]
"""Asks the control plane. Raises OrchError."""


@dataclass(frozen=True, slots=True)
class Token:
    text: str
    issued_at_s: float
    """Since the epoch, like all times of tokens."""
    expires_at_s: float

    @property
    def fresh_s(self) -> float:
        """How long after it was issued it is to be renewed."""
        return min(LIFE_USED_MAX * (self.expires_at_s - self.issued_at_s), AGE_MAX_S)


@dataclass(frozen=True, slots=True)
class PodTokens:
    texts: Mapping[TokenKey, str | VolumeFault]
    due_in_s: float | None
    """None: the pod has no tokens."""


class TokenKeeper:
    def __init__(self, folders: Folders, issue: IssueToken, clock: Clock) -> None:
        self._folders, self._issue, self._clock = folders, issue, clock
        self._backoff = Backoff[str](RETRY_DELAY_MIN_S, RETRY_DELAY_MAX_S)
        self._due_at_s: dict[str, dict[str, float]] = {}
        """Pod uid -> text of a token -> when it is to be renewed, on the monotonic clock."""

    async def of_pod(self, pod: Pod) -> PodTokens:
        """Those that the pod's volumes hold, renewed where they are due."""
        texts: dict[TokenKey, str | VolumeFault] = {}
        delays_s = []
        for key, path in dict(token_places(pod, self._folders)).items():
            texts[key], delay_s = await self._current(pod, key, path)
            delays_s.append(delay_s)
        due_at_s = self._due_at_s.get(pod.metadata.uid, {})
        self._due_at_s[pod.metadata.uid] = {text: due_at_s[text] for text in texts.values() if text in due_at_s}
        return PodTokens(texts, min(delays_s, default=None))

    def forget(self, pod_uid: str) -> None:
        self._backoff.forget(pod_uid)
        self._due_at_s.pop(pod_uid, None)

    async def _current(self, pod: Pod, key: TokenKey, path: Path) -> tuple[str | VolumeFault, float]:
        """The token and in how many seconds it is to be looked at again."""
        held, uid = read_token(path), pod.metadata.uid
        if held is not None and (left_s := self._fresh_left_s(uid, held)) > 0:
            return held.text, left_s
        try:
            token = await self._fetch(pod, key)
        except OrchError as error:
            delay_s = self._backoff.next_s(uid)
            if held is None:
                return VolumeFault(f"failed to fetch token: {error}"), delay_s
            log.warning("token_not_renewed", pod_uid=uid, error=str(error), retry_in_s=delay_s, next="it stays")
            return held.text, delay_s
        self._backoff.forget(uid)
        delay_s = max(token.fresh_s, RETRY_DELAY_MIN_S)
        self._due_at_s.setdefault(uid, {})[token.text] = self._clock.monotonic() + delay_s
        return token.text, delay_s

    def _fresh_left_s(self, pod_uid: str, held: Token) -> float:
        known, now_s = self._due_at_s.setdefault(pod_uid, {}), self._clock.monotonic()
        if held.text not in known:
            age_s = max(self._clock.now().timestamp() - held.issued_at_s, 0.0)
            known[held.text] = now_s + held.fresh_s - age_s
        return known[held.text] - now_s

    async def _fetch(self, pod: Pod, key: TokenKey) -> Token:
        audience, seconds = key
        meta = pod.metadata
        request = node_pb2.IssueTokenRequest(
            pod_uid=meta.uid,
            namespace=meta.namespace,
            pod=meta.name,
            service_account=pod.spec.service_account_name or "",
            audiences=[audience] if audience else [],
            expiration_seconds=seconds,
        )
        token = parse_token((await self._issue(request)).token)
        if token is None:
            raise VolumeFault("the server's answer is no token")
        return token


def token_places(pod: Pod, folders: Folders) -> Iterator[tuple[TokenKey, Path]]:
    """Every token that the pod's volumes are to hold, and where."""
    for volume in pod.spec.volumes or ():
        for projection in (volume.projected.sources or ()) if volume.projected is not None else ():
            if (token := projection.service_account_token) is not None:
                yield token_key(token), folders.volume(pod.metadata.uid, volume) / token.path


def read_token(path: Path) -> Token | None:
    try:
        return parse_token(path.read_text())
    except (OSError, UnicodeDecodeError):
        return None


class _Binding(msgspec.Struct):
    warnafter: int | None = None


class _Times(msgspec.Struct):
    exp: int
    iat: int
    binding: _Binding = msgspec.field(default_factory=_Binding, name="kubernetes.io")


def parse_token(text: str) -> Token | None:
    """None for what is no JWT. Its signature is the server's business."""
    payload = text.split(".")[1] if text.count(".") == 2 else ""
    try:
        times = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=_Times)
    except (ValueError, msgspec.MsgspecError):
        return None
    return Token(text, times.iat, times.binding.warnafter or times.exp)
