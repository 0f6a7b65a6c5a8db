"""Formats of names, labels, ports, addresses. Each `*_problem` gives the reason why a text is wrong, or "".

The wording is that of apimachinery `util/validation`, since people search for it.
"""

import ipaddress
import re

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_LABEL = re.compile(_LABEL)
_DNS_1035_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_DNS_SUBDOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_QUALIFIED_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_PORT_NAME = re.compile(r"[-a-z0-9]+")
_HTTP_HEADER = re.compile(r"[-A-Za-z0-9]+")
_RELAXED_ENV_NAME = re.compile(r"[ -<>-~]+")
_C_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

LABEL_MAX_CHARS = 63
SUBDOMAIN_MAX_CHARS = 253
PORT_NAME_MAX_CHARS = 15
PORT_MAX = 65535

DNS_LABEL_PROBLEM = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
DNS_1035_PROBLEM = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
DNS_SUBDOMAIN_PROBLEM = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
QUALIFIED_NAME_PROBLEM = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
LABEL_VALUE_PROBLEM = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
CONFIG_KEY_PROBLEM = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  "
    "or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)


def dns_label_problem(text: str) -> str:
    return _format_problem(text, _DNS_LABEL, LABEL_MAX_CHARS, DNS_LABEL_PROBLEM)


def dns_1035_label_problem(text: str) -> str:
    return _format_problem(text, _DNS_1035_LABEL, LABEL_MAX_CHARS, DNS_1035_PROBLEM)


def dns_subdomain_problem(text: str) -> str:
    return _format_problem(text, _DNS_SUBDOMAIN, SUBDOMAIN_MAX_CHARS, DNS_SUBDOMAIN_PROBLEM)


def label_key_problem(text: str) -> str:
    """A qualified name: `name` or `example.com/name`."""
    prefix, slash, name = text.rpartition("/")
    if slash and not prefix:
        return "prefix part must be non-empty"
    if prefix and (problem := dns_subdomain_problem(prefix)):
        return f"prefix part {problem}"
    if not name:
        return "name part must be non-empty"
    if len(name) > LABEL_MAX_CHARS:
        return f"name part must be no more than {LABEL_MAX_CHARS} bytes"
    return "" if _QUALIFIED_NAME.fullmatch(name) else QUALIFIED_NAME_PROBLEM


def label_value_problem(text: str) -> str:
    if len(text) > LABEL_MAX_CHARS:
        return f"must be no more than {LABEL_MAX_CHARS} bytes"
    return "" if not text or _QUALIFIED_NAME.fullmatch(text) else LABEL_VALUE_PROBLEM


def config_key_problem(text: str) -> str:
    """A key of a ConfigMap or Secret: it can be a file name."""
    if text == "." or text == ".." or text.startswith(".."):
        return "must not be '.'" if text == "." else "must not start with '..'"
    return _format_problem(text, _CONFIG_KEY, SUBDOMAIN_MAX_CHARS, CONFIG_KEY_PROBLEM)


def env_name_problem(text: str) -> str:
    """Printable ASCII without '=' (relaxed since Kubernetes 1.30)."""
    if not text or not _RELAXED_ENV_NAME.fullmatch(text):
        return "a valid environment variable name must consist only of printable ASCII characters other than '='"
    return ""


def c_identifier_problem(text: str) -> str:
    return "" if _C_IDENTIFIER.fullmatch(text) else "must be a valid C identifier"


def http_header_problem(text: str) -> str:
    if _HTTP_HEADER.fullmatch(text):
        return ""
    return (
        "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for "
        "validation is '[-A-Za-z0-9]+')"
    )


def port_problem(port: int) -> str:
    return "" if 1 <= port <= PORT_MAX else f"must be between 1 and {PORT_MAX}, inclusive"


def port_name_problem(name: str) -> str:
    """An IANA_SVC_NAME."""
    if len(name) > PORT_NAME_MAX_CHARS:
        return f"must be no more than {PORT_NAME_MAX_CHARS} characters"
    if not _PORT_NAME.fullmatch(name):
        return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
    if not any("a" <= char <= "z" for char in name):
        return "must contain at least one letter (a-z)"
    if "--" in name:
        return "must not contain consecutive hyphens"
    return "must not begin or end with a hyphen" if name[0] == "-" or name[-1] == "-" else ""


def ip_problem(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
    return ""


def cidr_problem(text: str) -> str:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
    return "" if "/" in text else "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def _format_problem(text: str, pattern: re.Pattern[str], max_chars: int, problem: str) -> str:
    if len(text) > max_chars:
        return f"must be no more than {max_chars} bytes"
    return "" if pattern.fullmatch(text) else problem
