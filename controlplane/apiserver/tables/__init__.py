"""Printer columns: what `kubectl get` shows of each kind, computed by the server (meta/v1 Table)."""
