"""How the machine's administrator says that registries are reached. Read anew for each pull.

    <folder>/<host[:port]>/ca.crt                     whom to trust instead of the system's CAs
    <folder>/<host[:port]>/client.cert, client.key    what to show

The files are those of /etc/containers/certs.d (containers-certs.d(5)).
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from nodeagent.images.registry import RegistryAccess

CA_FILE, CERTIFICATE_FILE, KEY_FILE = "ca.crt", "client.cert", "client.key"


@dataclass(frozen=True, slots=True)
class Registries:
    """`insecure`: hosts, with the port, that speak plain HTTP."""

    folder: Path
    insecure: Collection[str] = ()

    def access(self, host: str) -> RegistryAccess:
        if host in self.insecure:
            return RegistryAccess(host, plain_http=True)
        paths = {name: self.folder / host / name for name in (CA_FILE, CERTIFICATE_FILE, KEY_FILE)}
        files = {name: str(path) if path.is_file() else "" for name, path in paths.items()}
        return RegistryAccess(host, ca_file=files[CA_FILE], cert_file=files[CERTIFICATE_FILE], key_file=files[KEY_FILE])
