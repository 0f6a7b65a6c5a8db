"""Known ways out of a container, run by an interpreter inside one. Alone: it imports nothing but the standard library.

Each attempt is a function. It is held when it raises OSError or returns nothing; what it returns otherwise is what it
got hold of. Prints one JSON object: name -> that text, empty when held. Every attempt has a process of its own.

    escape_attempts.py MARKER PID      a file that only the host has; the host's pid of a process of another pod
"""

import ctypes
import errno
import json
import os
import platform
import re
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ATTEMPT_TIMEOUT_S = 20
MARKER, OUTSIDER = sys.argv[1], int(sys.argv[2])
X86 = platform.machine() == "x86_64"
CLONE_FLAGS = {"mount": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "user": 0x10000000,
               "pid": 0x20000000, "net": 0x40000000}  # fmt: skip
AT_FDCWD = -100
libc = ctypes.CDLL(None, use_errno=True)

Attempt = Callable[[], str | None]
ATTEMPTS: dict[str, Attempt] = {}


def attempt(work: Attempt) -> Attempt:
    ATTEMPTS[work.__name__] = work
    return work


def call(number: int, *arguments: int | bytes | ctypes.Array[ctypes.c_char]) -> int:
    """syscall(2). Raises OSError."""
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(result)


def refused(name: str, number: int, *arguments: int | bytes) -> None:
    """One more attempt: a system call that must fail for want of rights, and not merely of sense."""

    def work() -> str | None:
        try:
            call(number, *arguments)
        except OSError as error:
            return None if error.errno in (errno.EPERM, errno.EACCES, errno.ENOSYS) else f"tried: {error.strerror}"
        return "done"

    ATTEMPTS[name] = work


def files_below(*folders: str) -> Iterator[str]:
    for folder in folders:
        for directory, _, files in os.walk(folder):
            yield from (os.path.join(directory, name) for name in files)


def can_open(path: str, flags: int) -> bool:
    try:
        os.close(os.open(path, flags | os.O_NONBLOCK))
    except OSError:
        return False
    return True


# The kernel's own files.


@attempt
def write_kernel_settings() -> str | None:
    """Everything that /sys, /proc/sys and the like hold: core_pattern, release_agent, uevent_helper, modprobe, ..."""
    folders = ("/sys", "/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi", "/proc/scsi")
    return ", ".join([path for path in files_below(*folders) if can_open(path, os.O_WRONLY)][:5])


@attempt
def write_top_of_proc() -> str | None:
    """/proc/sysrq-trigger and whatever else stands right below /proc."""
    paths = [str(path) for path in Path("/proc").iterdir() if not path.name.isdigit() and path.is_file()]
    return ", ".join(path for path in paths if takes_writing(path))


def takes_writing(path: str) -> bool:
    """Root may open any of them; those that only show something refuse even an empty write."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        os.write(descriptor, b"")
    except OSError:
        return False
    return True


@attempt
def make_a_cgroup() -> str | None:
    """In a hierarchy of the kernel's; with cgroup v1 these are mounted below an empty tmpfs of the container's own."""
    for controller in [""] * is_cgroup("/sys/fs/cgroup") + os.listdir("/sys/fs/cgroup"):
        path = os.path.join("/sys/fs/cgroup", controller, "escape")
        try:
            os.mkdir(path)
        except OSError:
            continue
        return path
    return None


def is_cgroup(path: str) -> bool:
    return any(line.split()[1:3] == [path, "cgroup2"] for line in Path("/proc/mounts").read_text().splitlines())


@attempt
def read_kernel_memory_and_log() -> str | None:
    paths = ("/proc/kcore", "/proc/kmsg", "/dev/kmsg", "/dev/mem", "/dev/port", "/proc/kpagecount", "/proc/keys")
    return ", ".join(path for path in paths if os.path.exists(path) and os.path.getsize(path) + _reads(path))


def _reads(path: str) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        return len(os.read(descriptor, 16))
    except OSError:
        return 0


@attempt
def read_firmware() -> str | None:
    return ", ".join(os.listdir("/sys/firmware"))


# Mounts.


def mount(source: bytes, target: bytes, kind: bytes, flags: int = 0) -> int:
    if libc.mount(source, target, kind, ctypes.c_ulong(flags), None) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return 0


@attempt
def mount_tmpfs() -> str | None:
    return f"{mount(b'none', b'/tmp', b'tmpfs')}"


@attempt
def mount_proc() -> str | None:
    return f"{mount(b'proc', b'/tmp', b'proc')}"


@attempt
def mount_cgroup() -> str | None:
    return f"{mount(b'cgroup', b'/tmp', b'cgroup2')}"


@attempt
def remount_root_writable() -> str | None:
    return f"{mount(b'none', b'/proc/sys', b'', 0x20 | 0x1000)}"


@attempt
def unmount_masks() -> str | None:
    if libc.umount2(b"/proc/sys", 2) < 0:
        raise OSError(ctypes.get_errno(), "umount2")
    return "/proc/sys"


refused("pivot_root", 155 if X86 else 41, b"/", b"/tmp")
refused("open_tree", 428, AT_FDCWD, b"/", 1)
refused("move_mount", 429, AT_FDCWD, b"/tmp", AT_FDCWD, b"/mnt", 0)
refused("fsopen", 430, b"tmpfs", 0)
refused("mount_setattr", 442, AT_FDCWD, b"/", 0, b"\0" * 32, 32)


# Namespaces.

for _kind, _flag in CLONE_FLAGS.items():
    refused(f"unshare_{_kind}", 272 if X86 else 97, _flag)
    refused(f"clone_{_kind}", 56 if X86 else 220, _flag | signal.SIGCHLD, 0, 0, 0, 0)
refused("clone3", 435, struct.pack("<11Q", CLONE_FLAGS["user"], 0, 0, 0, signal.SIGCHLD, *[0] * 6), 88)


@attempt
def join_namespaces() -> str | None:
    joined = []
    for path in Path("/proc").glob("[0-9]*/ns/*"):
        try:
            descriptor = os.open(path, os.O_RDONLY)
            call(308 if X86 else 268, descriptor, 0)
        except OSError:
            continue
        joined.append(str(path))
    return ", ".join(joined)


# Files of the host and of other pods.


@attempt
def climb_out_of_a_chroot() -> str | None:
    root = os.open("/", os.O_RDONLY)
    os.mkdir("/tmp/jail")
    os.chroot("/tmp/jail")
    os.fchdir(root)
    for _ in range(64):
        os.chdir("..")
    os.chroot(".")
    return MARKER if os.path.exists(MARKER) else None


@attempt
def look_through_proc_root() -> str | None:
    doors = [*Path("/proc").glob("[0-9]*/root"), *Path("/proc").glob("[0-9]*/cwd"), *Path("/proc").glob("[0-9]*/fd/*")]
    return ", ".join(str(door) for door in doors if os.path.exists(f"{door}/{MARKER}"))


@attempt
def descriptors_left_open() -> str | None:
    """What the runtime forgot to close (CVE-2024-21626)."""
    known = ("pipe:", "/dev/null", "/proc/", "socket:", "anon_inode:", "/escape.py")
    found = [os.readlink(path) for path in Path("/proc/1/fd").iterdir()]
    return ", ".join(target for target in found if not target.startswith(known))


@attempt
def open_by_handle() -> str | None:
    """A file of the file system behind a bind mount, by its number (shocker)."""
    handle = ctypes.create_string_buffer(struct.pack("<IiQI", 12, 1, 2, 0) + b"\0" * 128)
    directory = os.open("/etc/hosts" if os.path.exists("/etc/hosts") else "/usr", os.O_RDONLY)
    return f"{call(304 if X86 else 265, directory, handle, os.O_RDONLY)}"


@attempt
def open_devices() -> str | None:
    """Every device number that the kernel knows."""
    opened = []
    for kind, mode in (("block", 0o060600), ("char", 0o020600)):
        for entry in os.listdir(f"/sys/dev/{kind}"):
            major, minor = map(int, entry.split(":"))
            path = f"/tmp/{kind}{entry}"
            os.mknod(path, mode, os.makedev(major, minor))
            # null, zero, full, random, urandom, tty and ptmx are there for everybody; so are terminals of its own.
            harmless = kind == "char" and (major, minor) in {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2)}
            if not harmless and not (kind == "char" and 136 <= major < 144) and can_open(path, os.O_RDONLY):
                opened.append(f"{kind} {entry}")
    return ", ".join(opened)


# Processes outside.


@attempt
def signal_an_outsider() -> str | None:
    os.kill(OUTSIDER, 0)
    return f"pid {OUTSIDER}"


@attempt
def trace_an_outsider() -> str | None:
    return f"{call(101 if X86 else 117, 0x4206, OUTSIDER, 0, 0)}"


@attempt
def read_an_outsiders_memory() -> str | None:
    room = ctypes.create_string_buffer(8)
    vector = ctypes.create_string_buffer(struct.pack("QQ", ctypes.addressof(room), 8))
    return f"{call(310 if X86 else 270, OUTSIDER, vector, 1, vector, 1, 0)}"


@attempt
def hold_an_outsider() -> str | None:
    return f"{os.pidfd_open(OUTSIDER)}"


@attempt
def see_other_processes() -> str | None:
    others = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return f"{others}" if len(others) > 6 else None


@attempt
def signal_everybody() -> str | None:
    """Down to those that stand for the whole namespace; the host's would be among them."""
    visible = {int(path.name) for path in Path("/proc").glob("[0-9]*")}
    reached = []
    for pid in range(2, 4096):
        if pid not in visible:
            try:
                os.kill(pid, 0)
            except OSError:
                continue
            reached.append(pid)
    return f"{reached}" if reached and not _threads_of(visible, reached) else None


def _threads_of(pids: set[int], candidates: list[int]) -> bool:
    threads = {int(path.name) for pid in pids for path in Path(f"/proc/{pid}/task").glob("[0-9]*")}
    return threads.issuperset(candidates)


# System calls that belong to the machine's owner.

refused("init_module", 175 if X86 else 105, b"\0" * 64, 64, b"")
refused("finit_module", 313 if X86 else 273, 0, b"", 0)
refused("delete_module", 176 if X86 else 106, b"loop", 0)
refused("kexec_load", 246 if X86 else 104, 0, 0, 0, 0)
refused("reboot", 169 if X86 else 142, 0x12345678, 0, 0, 0)
refused("swapon", 167 if X86 else 224, b"/tmp/x", 0)
refused("acct", 163 if X86 else 89, b"/tmp/x")
refused("settimeofday", 164 if X86 else 170, struct.pack("qq", 0, 0), 0)
refused("clock_settime", 227 if X86 else 112, 0, struct.pack("qq", 0, 0))
refused("sethostname", 170 if X86 else 161, b"x", 1)
refused("setdomainname", 171 if X86 else 162, b"x", 1)
refused("syslog", 103 if X86 else 116, 3, b"\0" * 64, 64)
refused("add_key", 248 if X86 else 217, b"user", b"k", b"v", 1, -3)
refused("request_key", 249 if X86 else 218, b"user", b"k", 0, -3)
refused("keyctl", 250 if X86 else 219, 0, -3, 0)
refused("bpf", 321 if X86 else 280, 0, b"\0" * 128, 128)
refused("perf_event_open", 298 if X86 else 241, struct.pack("<II", 1, 128) + b"\0" * 120, 0, -1, -1, 0)
refused("userfaultfd", 323 if X86 else 282, 0)
refused("io_uring_setup", 425, 8, ctypes.create_string_buffer(120).raw)
refused("io_uring_enter", 426, 0, 0, 0, 0, 0, 0)
refused("fanotify_init", 300 if X86 else 262, 0, 0)
refused("vhangup", 153 if X86 else 58)
refused("lookup_dcookie", 212 if X86 else 18, 0, b"\0" * 64, 64)
refused("quotactl", 179 if X86 else 60, 0x80000700, b"/dev/x", 0, b"\0" * 128)
if X86:
    refused("iopl", 172, 3)
    refused("ioperm", 173, 0x70, 2, 1)
    refused("modify_ldt_uselib", 134, b"/bin/sh")


# More than its share.


@attempt
def take_real_time_priority() -> str | None:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    return "SCHED_FIFO"


@attempt
def take_a_better_nice_value() -> str | None:
    os.setpriority(os.PRIO_PROCESS, 0, -5)
    return "nice -5"


@attempt
def spare_itself_from_the_oom_killer() -> str | None:
    own = int(Path("/proc/self/oom_score_adj").read_text())
    Path("/proc/self/oom_score_adj").write_text(str(own - 1))
    return f"{own - 1}"


@attempt
def open_files_without_end() -> str | None:
    try:
        while True:
            os.dup(0)
    except OSError as error:
        return None if error.errno == errno.EMFILE else f"{error}"


@attempt
def raise_its_limits() -> str | None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard + 1, hard + 1))
    except ValueError:
        return None
    return f"{hard + 1} files"


@attempt
def fill_shared_memory() -> str | None:
    return _fill("/dev/shm/fill")


@attempt
def fill_dev() -> str | None:
    return _fill("/dev/fill")


def _fill(path: str, too_much: int = 80 << 20) -> str:
    with open(path, "wb") as file:
        try:
            for _ in range(too_much >> 20):
                file.write(b"x" * (1 << 20))
            file.flush()
        finally:
            os.unlink(path)
    return f"{too_much} bytes"


# The network.


@attempt
def change_its_network() -> str | None:
    """A second address, by rtnetlink."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        body = struct.pack("=BBBBI", 2, 32, 0, 0, 1) + struct.pack("=HH4s", 8, 2, socket.inet_aton("10.9.9.9"))
        netlink.send(struct.pack("=IHHII", 16 + len(body), 20, 0x405, 1, 0) + body)
        (error,) = struct.unpack("=i", netlink.recv(100)[16:20])
    return None if error else "10.9.9.9"


@attempt
def find_sockets_of_the_host() -> str | None:
    """Abstract ones belong to a network namespace."""
    return ", ".join(re.findall(r"@\S+", Path("/proc/net/unix").read_text()))


def outcome(work: Attempt) -> str:
    """Of the attempt in a child; one that hangs or dies is held too, if a signal of its own ended it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(ATTEMPT_TIMEOUT_S)
        try:
            said = work() or ""
        except OSError:
            said = ""
        except BaseException as error:
            said = f"broke: {error!r}"
        os.write(writer, said.encode()[:4000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answers:
        said = answers.read()
    _, status = os.waitpid(child, 0)
    return said or ("" if status == 0 else f"broke: status {status}")


if __name__ == "__main__":
    began = time.monotonic()
    found = {name: outcome(work) for name, work in ATTEMPTS.items()}
    print(json.dumps(found))
