"""Takes a device away from a cgroup v2, where a BPF program in place of devices.deny says who may open what.

The kernel asks every program of a cgroup and of its ancestors, and all must allow: a program beside the OCI runtime's
can only take away. It goes with its cgroup. Instructions and context: linux/bpf.h, struct bpf_cgroup_dev_ctx.
"""

import os
import struct

from nodeagent.runtime import syscalls

_INSTRUCTION = struct.Struct("=BBhi")
"""Operation, registers (destination low, source high), offset, constant."""
_LOAD, _AND, _SHIFT_RIGHT, _SET, _EXIT = 0x61, 0x54, 0x74, 0xB7, 0x95
_IF_EQUAL, _IF_NOT_EQUAL = 0x15, 0x55
_ANSWER, _CONTEXT, _VALUE = 0, 1, 2
"""Registers."""
_ACCESS_AND_TYPE_AT, _MAJOR_AT, _MINOR_AT = 0, 4, 8
_CHARACTER_DEVICE, _READ_OR_WRITE = 2, 0x2 | 0x4


def deny_opening(cgroup: str, major: int, minor: int) -> None:
    """To the cgroup (a folder) and those below it. Raises OSError."""
    program = syscalls.load_device_program(instructions(major, minor))
    try:
        syscalls.attach_device_program(program, cgroup)
    finally:
        os.close(program)  # the cgroup holds it


def instructions(major: int, minor: int) -> bytes:
    """Denies reading and writing one character device, allows all else, making its node too."""
    tests = [
        *_when(_ACCESS_AND_TYPE_AT, [(_AND, 0xFFFF)], _IF_NOT_EQUAL, _CHARACTER_DEVICE),
        *_when(_ACCESS_AND_TYPE_AT, [(_SHIFT_RIGHT, 16), (_AND, _READ_OR_WRITE)], _IF_EQUAL, 0),
        *_when(_MAJOR_AT, [], _IF_NOT_EQUAL, major),
        *_when(_MINOR_AT, [], _IF_NOT_EQUAL, minor),
    ]
    deny, allow = ([(_SET, _ANSWER, 0, answer), (_EXIT, 0, 0, 0)] for answer in (0, 1))
    past = len(tests) + len(deny)
    aimed = [
        (operation, registers, past - place - 1 if operation in (_IF_EQUAL, _IF_NOT_EQUAL) else offset, constant)
        for place, (operation, registers, offset, constant) in enumerate(tests)
    ]
    return b"".join(_INSTRUCTION.pack(*each) for each in (*aimed, *deny, *allow))


def _when(offset: int, changes: list[tuple[int, int]], jump: int, constant: int) -> list[tuple[int, int, int, int]]:
    """Loads a word of the context, changes it, and jumps (to where all jumps go) when it compares so."""
    load = (_LOAD, _CONTEXT << 4 | _VALUE, offset, 0)
    return [load, *((operation, _VALUE, 0, value) for operation, value in changes), (jump, _VALUE, 0, constant)]
