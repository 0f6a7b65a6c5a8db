"""The `orch` command: one file per verb, standard library only on the way to `get`.

A verb is a module with `add_arguments(parser)` and `run(args) -> exit code`; `main` imports only the one that was asked
for. Nothing here imports grpc, aiohttp, numpy, msgspec or yaml at the top of a file: each costs a start more than the
request itself. What `get` needs has NamedTuples as records, since `dataclasses` brings a parser of Python along.
"""
