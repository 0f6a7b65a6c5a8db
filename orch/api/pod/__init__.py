"""Pod (core/v1): the largest kind, one file per part of its spec."""
