"""Who manages which field of an object (server-side apply; structured-merge-diff v6 and KEP-555). Pure algorithms.

    schema.py    what a type says of its fields: leaf, record, map, associative list, set
    elements.py  path elements as text: `f:spec`, `k:{"name":"app"}`, `v:"x"`
    sets.py      sets of fields as FieldsV1 has them, and their algebra
    compare.py   two objects -> which fields changed and which went
    extract.py   plain data -> the set of fields that it names
    merge.py     live object + applied configuration -> merged object; prune.py takes away what nobody names any more
    managers.py  metadata.managedFields: what a write makes of the entries, and conflicts

It knows no kind, no store and no clock; typed objects and plain data go in, sets and entries come out.
"""
