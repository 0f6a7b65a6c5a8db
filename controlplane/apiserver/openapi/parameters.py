"""A parameter in a query, as OpenAPI describes it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QueryParameter:
    name: str
    type: str = "string"
