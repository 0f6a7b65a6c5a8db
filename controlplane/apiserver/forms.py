"""Objects in the form a client asked for: as they are, as rows of a Table, or as their metadata alone.

In the plain form the bytes made once per revision are passed on untouched; only Table and PartialObjectMetadata encode.
"""

from datetime import datetime
from typing import Any

import msgspec

from controlplane.apiserver.negotiation import Form, Wanted
from controlplane.apiserver.tables.render import table_body
from controlplane.registry.interface import Listing, Stored, StoredEvent
from orch.api.kind import Kind
from orch.client.client import EventType
from orch.errors import ApiError

_encoder = msgspec.json.Encoder()


def metadata_body(stored: Stored[Any], version: str) -> bytes:
    """meta/v1 PartialObjectMetadata: what clients read that handle any kind."""
    head = f'{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/{version}","metadata":'.encode()
    return head + _encoder.encode(stored.obj.metadata) + b"}"


def object_body(kind: Kind[Any], stored: Stored[Any], wanted: Wanted, include: str, now: datetime) -> bytes:
    """One object. `include` is the Table's includeObject."""
    match wanted.form:
        case Form.TABLE:
            meta = {"resourceVersion": str(stored.revision)}
            return table_body(kind, (stored,), meta, wanted.version, include, now)
        case Form.METADATA:
            return metadata_body(stored, wanted.version)
        case _:
            return stored.data


def list_meta(listing: Listing[Any]) -> dict[str, Any]:
    meta: dict[str, Any] = {"resourceVersion": str(listing.revision)}
    if listing.continue_token:
        meta["continue"] = listing.continue_token
    if listing.remaining is not None:
        meta["remainingItemCount"] = listing.remaining
    return meta


def list_frame(kind: Kind[Any], listing: Listing[Any]) -> tuple[bytes, bytes]:
    """What stands before and after the comma-separated items of a list."""
    return _frame(f"{kind.kind}List", kind.api_version, list_meta(listing))


def other_list_body(kind: Kind[Any], listing: Listing[Any], wanted: Wanted, include: str, now: datetime) -> bytes:
    """A list in a form other than the objects themselves."""
    meta = list_meta(listing)
    if wanted.form is Form.TABLE:
        return table_body(kind, listing.items, meta, wanted.version, include, now)
    if wanted.form is Form.OBJECT:
        (head, tail), items = list_frame(kind, listing), [stored.data for stored in listing.items]
    else:
        head, tail = _frame("PartialObjectMetadataList", f"meta.k8s.io/{wanted.version}", meta)
        items = [metadata_body(stored, wanted.version) for stored in listing.items]
    return b"".join((head, b",".join(items), tail))


def _frame(kind: str, api_version: str, meta: dict[str, Any]) -> tuple[bytes, bytes]:
    head = {"kind": kind, "apiVersion": api_version, "metadata": meta}
    return _encoder.encode(head)[:-1] + b',"items":[', b"]}"


def event_frame(kind: Kind[Any], event: StoredEvent[Any], wanted: Wanted, include: str, now: datetime) -> bytes:
    """One line of a watch: a WatchEvent."""
    if wanted.form is Form.OBJECT:
        return event.frame
    if wanted.form is Form.TABLE:
        rows = () if event.type is EventType.BOOKMARK else (event.stored,)
        meta = {"resourceVersion": str(event.stored.revision)}
        data = table_body(kind, rows, meta, wanted.version, include, now)
    else:
        data = metadata_body(event.stored, wanted.version)
    return b'{"type":"%s","object":%s}\n' % (event.type.encode(), data)


def error_frame(error: ApiError) -> bytes:
    """The last line of a watch that failed."""
    return b'{"type":"ERROR","object":%s}\n' % _encoder.encode(error.to_status())
