"""resolv.conf(5): what the node's own file says, and how a pod's is written. Pure but for the one read."""

from dataclasses import dataclass
from pathlib import Path

from nodeagent.network.errors import NetworkFault


@dataclass(frozen=True, slots=True)
class ResolvConf:
    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def parse_resolv_conf(text: str) -> ResolvConf:
    """As resolv.conf(5) says: the last `search` or `domain` counts, `nameserver` and `options` add up."""
    nameservers: list[str] = []
    searches: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#", 1)[0].split(";", 1)[0].split()
        match words:
            case ["nameserver", address, *_]:
                nameservers.append(address)
            case ["search" | "domain", *found]:
                searches = tuple(found)
            case ["options", *found]:
                options.extend(found)
    return ResolvConf(tuple(nameservers), searches, tuple(options))


def read_resolv_conf(path: Path) -> ResolvConf:
    """Raises NetworkFault. A file that does not exist is an empty one."""
    try:
        return parse_resolv_conf(path.read_text())
    except FileNotFoundError:
        return ResolvConf()
    except OSError as error:
        raise NetworkFault(f"read {path}: {error.strerror}") from error


def write_resolv_conf(conf: ResolvConf) -> str:
    lines = [f"nameserver {address}" for address in conf.nameservers]
    lines += [f"search {' '.join(conf.searches)}"] if conf.searches else []
    lines += [f"options {' '.join(conf.options)}"] if conf.options else []
    return "".join(f"{line}\n" for line in lines)
