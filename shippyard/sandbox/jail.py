"""Owns shutting a program in: it writes below its own folders, connects to nobody and dies with us.

Run as a script before the program, so it imports nothing of ours. Landlock (landlock(7)) lets it
change files in the named folders alone; seccomp (seccomp(2)) takes `connect` and every socket but
unix ones away. Both hold for its children, need no privilege, and can't be undone. Knows no
PostgreSQL.
"""

import argparse
import contextlib
import ctypes
import os
import platform
import pwd
import signal
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

FAILED = 71
LANDLOCK_MIN = 2
"""The first ABI that lets files move between folders."""

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PATH_BENEATH = 1
_SCOPED = 0b11  # abstract unix sockets and signals, since ABI 6
_WRITE_FILE, _TRUNCATE = 1 << 1, 1 << 14
# Everything that changes a folder: remove, make (files, folders, sockets, links), move.
_CHANGE = sum(1 << bit for bit in (1, *range(4, 14)))

# Per machine: its audit number, then socket, connect and io_uring_setup (which could connect, too).
_CALLS = {
    "x86_64": (0xC000003E, 41, 42, 425),
    "aarch64": (0xC00000B7, 198, 203, 425),
}
_X32 = 0x40000000
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_AF_UNIX, _EACCES, _EAFNOSUPPORT, _ENOSYS = 1, 13, 97, 38

_libc = ctypes.CDLL(None, use_errno=True)


def lacking() -> tuple[str, ...]:
    """What this machine can't do to shut a program in; empty where all of it holds."""
    lacks = []
    if _landlock_abi() < LANDLOCK_MIN:
        lacks.append("this kernel has no Landlock: only checks keep the sandbox in its folder")
    if platform.machine() not in _CALLS:
        lacks.append("connecting is not forbidden on this kind of machine, only turned off")
    return tuple(lacks)


def argv_of(folders: Sequence[Path], *, user: str | None, nice: int) -> list[str]:
    """The prefix of a command line that shuts the program in."""
    given = [f"--folder={folder}" for folder in folders]
    given += [f"--user={user}"] if user else []
    own = [sys.executable, "-I", "-S", __file__, f"--parent={os.getpid()}", f"--nice={nice}"]
    return [*own, *given, "--"]


def main(arguments: Sequence[str]) -> None:
    """Shut ourselves in and become the program; on any doubt don't."""
    asked = _parsed(arguments)
    try:
        with contextlib.suppress(OSError):
            # A service manager may forbid it; it keeps nothing in.
            os.nice(asked.nice)
        os.umask(0o077)
        if asked.user:
            _become(asked.user)
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        _only_write_in(asked.folder)
        _connect_to_nobody()
        # PostgreSQL takes it for an order to stop at once. Set last: a change of user undoes it.
        _prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
        if os.getppid() == asked.parent:
            os.execv(asked.program[0], asked.program)  # noqa: S606  arguments are a list
    except (OSError, KeyError) as error:
        sys.stderr.write(f"FATAL:  can't be shut in: {error}\n")
        sys.exit(FAILED)


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", action="append", type=Path, default=[])
    parser.add_argument("--user")
    parser.add_argument("--nice", type=int, default=0)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("program", nargs="+")
    return parser.parse_args(arguments)


def _become(user: str) -> None:
    account = pwd.getpwnam(user)
    os.initgroups(user, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)


def _only_write_in(folders: Sequence[Path]) -> None:
    abi = _landlock_abi()
    if abi < LANDLOCK_MIN:
        return
    handled = _CHANGE | (_TRUNCATE if abi >= 3 else 0)  # noqa: PLR2004  the ABI that has it
    wanted = struct.pack("=QQQ", handled, 0, _SCOPED)
    size = len(wanted) if abi >= 6 else 8  # noqa: PLR2004  the ABI that knows scopes
    ruleset = _checked(_CREATE_RULESET, ctypes.c_char_p(wanted), size, 0)
    for folder in folders:
        _allow(ruleset, folder, handled)
    _allow(ruleset, Path("/dev/null"), handled & (_WRITE_FILE | _TRUNCATE))
    _checked(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _allow(ruleset: int, path: Path, access: int) -> None:
    opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rule = struct.pack("=Qi", access, opened)
    _checked(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.c_char_p(rule), 0)
    os.close(opened)


def _connect_to_nobody() -> None:
    if platform.machine() not in _CALLS:
        return
    audit, socket, connect, io_uring = _CALLS[platform.machine()]
    program = [
        (_LOAD, 0, 0, 4),  # the machine
        (_EQUAL, 1, 0, audit),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),  # the call
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _ERRNO | _ENOSYS),
        (_EQUAL, 0, 1, connect),
        (_RETURN, 0, 0, _ERRNO | _EACCES),
        (_EQUAL, 0, 1, io_uring),
        (_RETURN, 0, 0, _ERRNO | _ENOSYS),
        (_EQUAL, 0, 3, socket),
        (_LOAD, 0, 0, 16),  # its first argument, the family
        (_EQUAL, 1, 0, _AF_UNIX),
        (_RETURN, 0, 0, _ERRNO | _EAFNOSUPPORT),
        (_RETURN, 0, 0, _ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    described = struct.pack("@HP", len(program), ctypes.addressof(code))
    _prctl(_PR_SET_SECCOMP, 2, ctypes.c_char_p(described))


def _landlock_abi() -> int:
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_long(0), ctypes.c_long(1))))


def _checked(number: int, *arguments: object) -> int:
    whole = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    answer = int(_libc.syscall(number, *whole))
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer


def _prctl(option: int, value: int, argument: object = None) -> None:
    none = ctypes.c_ulong(0)
    if _libc.prctl(option, ctypes.c_ulong(value), argument or none, none, none) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(sys.argv[1:])
