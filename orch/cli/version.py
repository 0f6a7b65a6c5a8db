"""`orch version`: client and server."""

import argparse
from importlib.metadata import PackageNotFoundError, version

from orch.cli import session
from orch.cli.failures import Exit
from orch.cli.session import Session, in_session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    session.add_arguments(parser)
    parser.add_argument("--client", action="store_true", help="do not ask the server")


def run(args: argparse.Namespace) -> int:
    try:
        print(f"Client Version: v{version('orch')}")
    except PackageNotFoundError:
        print("Client Version: not installed")
    return Exit.OK if args.client else _server(args)


@in_session
def _server(current: Session, args: argparse.Namespace) -> int:
    print(f"Server Version: {current.api.get('/version')['gitVersion']}")
    return Exit.OK
