"""The API objects: pure data. No I/O, no clock, no knowledge of either side.

    base, meta, shared          what types are made of; ObjectMeta; types of several kinds
    <kind>.py, pod/             one kind each: types, then defaults, then rules (a file per part where it is large)
    kind, kinds                 what a kind is; the table of all kinds
    schema                      what the types say of their fields, as data, for everything generic
    codec, walk                 JSON <-> objects: the fast path, and the slow walk that names what is odd
    change                      copies that keep identity: what defaulting is built of
    causes, formats, metadata   what validation is built of
    quantity, selectors         resource amounts; label and field selectors
    unsupported                 fields that nothing acts on yet, and what follows

To add a kind: its types (with `ListRule`s) and functions in `<kind>.py`, one `Kind` in `kinds.py`; the contract test
compares it with Kubernetes.
"""
