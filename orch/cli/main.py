"""Entry point of `orch`: finds the verb, imports its module, runs it, and turns every failure into one line.

Invariant: no traceback reaches a person for anything that the world (server, file, user) can cause.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from orch.cli.failures import CliError, Exit, exit_code, one_line
from orch.errors import OrchError

VERBS = {
    "get": "list objects, or show some of them",
    "describe": "show objects with their events, for reading",
    "apply": "create or change objects from files",
    "delete": "delete objects",
    "patch": "change fields of objects by a patch",
    "label": "set labels of objects, or take them away",
    "annotate": "set annotations of objects, or take them away",
    "logs": "print what containers wrote",
    "exec": "run a command in a container",
    "attach": "connect to the first process of a container",
    "cp": "copy files to and from containers",
    "port-forward": "let local ports lead to ports of a pod",
    "scale": "set the number of replicas",
    "rollout": "status, history, undo, pause, resume, restart of a deployment",
    "events": "list events, oldest first",
    "top": "show what nodes or pods use now",
    "cordon": "let no new pods come to nodes",
    "uncordon": "let new pods come to nodes again",
    "wait": "wait until objects reach a condition",
    "api-resources": "list the resource types that the server has",
    "cluster": "start, stop, look at and enter a cluster on this machine",
    "image": "build, push, load, list and remove images",
    "version": "print the versions of client and server",
}
"""Verb -> what it does. The module is orch.cli.<verb>, with a trailing underscore where Python needs one."""
_MODULES = {"exec": "exec_", "api-resources": "api_resources", "port-forward": "port_forward"}
_FLAGS_WITH_VALUE = ("-n", "--namespace", "--context", "--kubeconfig")


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code (see orch.cli.failures)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except OrchError as error:
        print(f"orch: {one_line(error)}", file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough; the interpreter must not fail on flushing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except OSError as error:
        print(f"orch: {one_line(CliError(str(error)))}", file=sys.stderr)
        return Exit.ERROR


def _run(arguments: list[str]) -> int:
    leading, verb, rest = split_verb(arguments)
    if verb not in VERBS:
        parser = _overview()
        if not verb and set(arguments) & {"-h", "--help"}:
            parser.print_help()
            return Exit.OK
        message = f"unknown command {verb!r}" if verb else "a command is missing"
        parser.error(f"{message}: 'orch --help' lists the commands")
    module = importlib.import_module(f"orch.cli.{_MODULES.get(verb, verb)}")
    parser = argparse.ArgumentParser(f"orch {verb}", description=f"orch {verb}: {VERBS[verb]}.")
    module.add_arguments(parser)
    code: int = module.run(parser.parse_args(leading + rest))
    return code


def split_verb(arguments: list[str]) -> tuple[list[str], str, list[str]]:
    """(flags before the verb, verb, the rest): `-n web get pods` is `get -n web pods`."""
    position = 0
    while position < len(arguments) and arguments[position].startswith("-"):
        position += 2 if arguments[position] in _FLAGS_WITH_VALUE else 1
    if position >= len(arguments):
        return arguments, "", []
    return arguments[:position], arguments[position], arguments[position + 1 :]


def _overview() -> argparse.ArgumentParser:
    commands = "\n".join(f"  {verb:<14} {text}" for verb, text in VERBS.items())
    return argparse.ArgumentParser(
        "orch",
        usage="orch COMMAND [arguments]",
        description=f"Controls a cluster.\n\ncommands:\n{commands}\n\n'orch COMMAND --help' tells more about one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


if __name__ == "__main__":
    sys.exit(main())
