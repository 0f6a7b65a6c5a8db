"""Ports that clients write in names, queries and headers."""

from orch.api.formats import PORT_MAX

DIGITS_MAX = len(str(PORT_MAX))


def port_of(text: str) -> int | None:
    """0 to 65535; None for any other text."""
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX):
        return None
    return port if (port := int(text)) <= PORT_MAX else None
