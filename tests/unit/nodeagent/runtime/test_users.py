"""User names in an image."""

from pathlib import Path

import pytest

from nodeagent.runtime.interface import RuntimeFault
from nodeagent.runtime.users import Identity, read, resolve

PASSWD = "root:x:0:0:root:/root:/bin/sh\n# comment\nbroken\nweb:x:1000:1001::/:/bin/sh\n"
GROUP = "root:x:0:\nweb:x:1001:\nlogs:x:1002:web,root\nempty:x:1003:\n"


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("web", Identity(1000, 1001, (1002,))),
        ("1000", Identity(1000, 1001, (1002,))),
        ("4242", Identity(4242, 0)),
        ("web:logs", Identity(1000, 1002, (1002,))),
        ("web:7", Identity(1000, 7, (1002,))),
        ("4242:web", Identity(4242, 1001)),
        ("1000:1000", Identity(1000, 1000, (1002,))),
    ],
)
def test_a_name_is_resolved(name: str, identity: Identity) -> None:
    assert resolve(name, PASSWD, GROUP) == identity


@pytest.mark.parametrize("name", ["nobody", "web:nogroup", "broken"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(RuntimeFault, match="the image has no"):
        resolve(name, PASSWD, GROUP)


def test_no_symlink_leads_out_of_the_image(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("outside")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "secret").write_text("inside")
    (root / "etc/relative").symlink_to("../../secret")
    (root / "etc/absolute").symlink_to("/secret")
    assert read(str(root), "/etc/relative") == "inside"
    assert read(str(root), "/etc/absolute") == "inside"
    assert read(str(root), "/../secret") == "inside"
    assert read(str(root), "/etc/missing") == ""
