"""What every verb that talks to a cluster needs: the chosen context, its connection, its resources, the namespace."""

import argparse
import functools
import os
from collections.abc import Callable
from contextlib import closing

from orch import kubeconfig
from orch.cli.connection import Connection
from orch.cli.discovery import Discovery


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of every verb."""
    parser.add_argument("-n", "--namespace", default="", help="the namespace to work in")
    parser.add_argument("--context", default="", help="the kubeconfig's context to use")
    parser.add_argument(
        "--kubeconfig",
        default="",
        help="the kubeconfig (else $KUBECONFIG, else ~/.orch/clusters/local/kubeconfig)",
    )


class Session:
    def __init__(self, args: argparse.Namespace) -> None:
        """Reads the kubeconfig; nothing is sent yet. Raises KubeconfigError."""
        access = kubeconfig.load(kubeconfig.find(args.kubeconfig, os.environ), args.context)
        self.api = Connection(access)
        self.discovery = Discovery(self.api)
        self.namespace: str = args.namespace or access.namespace
        """For single objects. A list over all namespaces uses `scope`."""
        self.scope = "" if getattr(args, "all_namespaces", False) else self.namespace

    def close(self) -> None:
        self.api.close()


def in_session(run: Callable[[Session, argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Makes a verb's `run(args)` of a function that wants a session; its connection is closed at the end."""

    @functools.wraps(run)
    def with_session(args: argparse.Namespace) -> int:
        with closing(Session(args)) as current:
            return run(current, args)

    return with_session
