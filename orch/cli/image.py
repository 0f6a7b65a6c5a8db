"""`orch image`: builds images from Dockerfiles on this machine and shares them with the cluster's nodes.

The cluster's registry is found beside the kubeconfig, with the certificate that may push to it.
"""

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from orch import kubeconfig
from orch.cli import tables
from orch.cli.durations import age
from orch.cli.failures import CliError, Exit
from orch.images.builder import ImageBuilder, LocalImage

STORE = "/var/lib/orch/build"
STORE_VARIABLE = "ORCH_IMAGE_STORE"
REGISTRY_FOLDER = "registry"
BYTES_PER_MB = 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    build = _action(actions, "build", "build the image of a folder with a Dockerfile", registry=True)
    build.add_argument("-t", "--tag", required=True, help="the image's name, such as web:1")
    build.add_argument("-f", "--file", default="", help="the Dockerfile (default: Dockerfile in the folder)")
    build.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    build.add_argument("--target", default="", metavar="STAGE", help="build up to this stage of the Dockerfile")
    build.add_argument("--no-cache", action="store_true", help="build every layer anew")
    build.add_argument("--push", action="store_true", help="push it to the cluster's registry as well")
    build.add_argument("context", metavar="FOLDER")
    push = _action(actions, "push", "push images to the cluster's registry", registry=True)
    push.add_argument("image", nargs="+")
    load = _action(actions, "load", "take images from an archive (docker save, OCI)", registry=True)
    load.add_argument("--push", action="store_true", help="push them to the cluster's registry as well")
    load.add_argument("archive")
    _action(actions, "ls", "list the images on this machine")
    remove = _action(actions, "rm", "remove images from this machine")
    remove.add_argument("image", nargs="+")


def _action(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str, *, registry: bool = False
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text, description=text.capitalize() + ".")
    store = os.environ.get(STORE_VARIABLE) or STORE
    parser.add_argument("--store", default=store, metavar="FOLDER", help="where images are kept (default: %(default)s)")
    if registry:
        parser.add_argument("--kubeconfig", default="", help="of the cluster whose registry is meant")
        parser.add_argument("--registry", default="", metavar="HOST:PORT", help="another registry")
        parser.add_argument("--cert-dir", default="", help="certificates for it (ca.crt, client.cert, client.key)")
    return parser


def run(args: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        raise CliError("images are built and kept as root (mounts, file owners): run it with sudo")
    builder = ImageBuilder(os.path.abspath(args.store), lambda line: print(line, file=sys.stderr, flush=True))
    return {"build": _build, "push": _push, "load": _load, "ls": _list, "rm": _remove}[args.action](builder, args)


def _build(builder: ImageBuilder, args: argparse.Namespace) -> int:
    build_args = dict(_pair(text) for text in args.build_arg)
    name = builder.build(
        args.context, args.tag, dockerfile=args.file, build_args=build_args, no_cache=args.no_cache, target=args.target
    )
    print(f"{name} built", flush=True)
    return _push_all(builder, args, [args.tag]) if args.push else Exit.OK


def _push(builder: ImageBuilder, args: argparse.Namespace) -> int:
    return _push_all(builder, args, args.image)


def _push_all(builder: ImageBuilder, args: argparse.Namespace, images: list[str]) -> int:
    registry, cert_dir = _registry(args)
    for image in images:
        print(f"{builder.push(image, registry, cert_dir=cert_dir)} pushed", flush=True)
    return Exit.OK


def _load(builder: ImageBuilder, args: argparse.Namespace) -> int:
    names = list(builder.load(args.archive))
    if not names:
        raise CliError(f"{args.archive}: loaded, but it names no image: there is nothing to push or run by name")
    for name in names:
        print(f"{name} loaded", flush=True)
    return _push_all(builder, args, names) if args.push else Exit.OK


def _list(builder: ImageBuilder, args: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    lines = [["IMAGE", "ID", "CREATED", "SIZE"]]
    for image in builder.list():
        lines += [_row(image, name, now) for name in image.names or ("<none>",)]
    sys.stdout.write(tables.align(lines))
    return Exit.OK


def _row(image: LocalImage, name: str, now: datetime) -> list[str]:
    short = image.id.removeprefix("sha256:")[:12]
    return [name, short, f"{age(image.created_at.isoformat(), now)} ago", f"{image.size_bytes / BYTES_PER_MB:.1f}MB"]


def _remove(builder: ImageBuilder, args: argparse.Namespace) -> int:
    for image in args.image:
        builder.remove(image)
        print(f"{image} removed", flush=True)
    return Exit.OK


def _registry(args: argparse.Namespace) -> tuple[str, str]:
    """(address, folder with certificates) of the named registry, else of the cluster's."""
    if args.registry:
        return args.registry, args.cert_dir
    path: Path = kubeconfig.find(args.kubeconfig, os.environ)[0]
    folder = path.parent / REGISTRY_FOLDER
    try:
        return (folder / "address").read_text().strip(), args.cert_dir or str(folder)
    except FileNotFoundError:
        raise CliError(
            f"{folder}: no registry beside this kubeconfig: start a cluster, or name one with --registry"
        ) from None


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise CliError(f"--build-arg {text}: must be NAME=VALUE", Exit.USAGE)
    return name, value
