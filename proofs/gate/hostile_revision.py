"""A revision that tries what it must not manage. Owns the attempts; knows no expectation.

Put into a migrations tree as it is, so it imports nothing of ours. On the database `other` it is
the victim: it holds a password and waits until somebody has been and gone.
"""

# An attempt's name says all of it, and it calls what a stranger would.
# ruff: noqa: D103, PTH116, PTH207, PTH208, PTH123, PTH109

import contextlib
import ctypes
import glob
import json
import os
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from alembic import op

revision = "001"
down_revision = None

STATE = "/var/lib/shippyard"
PTRACE_ATTACH = 16
PIDS = range(2, 2000)


def readable(*patterns: str) -> str:
    """The first file that fits and can be read."""
    for path in (found for pattern in patterns for found in glob.glob(pattern, recursive=True)):
        with contextlib.suppress(OSError):
            Path(path).read_bytes()
            return path
    return ""


def ours() -> set[int]:
    """This process and the same user's above it, that pass its words on: no secret to it."""
    pids, pid = set(), os.getpid()
    while pid > 1 and os.stat(f"/proc/{pid}").st_uid == os.getuid():
        pids.add(pid)
        pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return pids


def strangers() -> Iterator[int]:
    """Every process, seen or not, that is neither one of ours nor a thread of one."""
    mine = {int(tid) for pid in ours() for tid in os.listdir(f"/proc/{pid}/task")}
    return (pid for pid in PIDS if pid not in mine)


def credentials() -> str:
    return readable("/run/credentials/*/*")


def credstore() -> str:
    return readable("/etc/credstore/*", "/etc/credstore.encrypted/*")


def configuration() -> str:
    return readable("/etc/shippyard/*")


def state() -> str:
    return readable(f"{STATE}/*.sqlite3", f"{STATE}/*.db")


def backups() -> str:
    return readable(f"{STATE}/backups/**")


def audit() -> str:
    for path in glob.glob(f"{STATE}/*.sqlite3") + glob.glob(f"{STATE}/*.db"):
        with sqlite3.connect(path, timeout=1) as connection:
            connection.execute("UPDATE audit SET actor = actor")
            return path
    return ""


def connects(path: str) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(2)
        link.connect(path)
    return path


def control() -> str:
    return connects("/run/shippyard/control.sock")


def approve() -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(2)
        link.connect("/run/shippyard/control.sock")
        asked = {"id": 1, "method": "migrate.approve", "params": {"database": "shop"}}
        link.sendall(json.dumps(asked).encode() + b"\n")
        return link.recv(1000).decode(errors="replace")[:40]


def runner_socket() -> str:
    return connects("/run/shippyard-runner.sock")


def system_bus() -> str:
    return connects("/run/dbus/system_bus_socket")


def service_manager() -> str:
    return connects("/run/systemd/private")


def environments() -> str:
    return opened("environ")


def memory() -> str:
    return opened("mem")


def opened(name: str) -> str:
    for pid in strangers():
        with contextlib.suppress(OSError), open(f"/proc/{pid}/{name}", "rb"):
            return str(pid)
    return ""


def descriptors() -> str:
    for pid in strangers():
        with contextlib.suppress(OSError):
            os.listdir(f"/proc/{pid}/fd")
            return str(pid)
    return ""


def killing() -> str:
    for pid in strangers():
        with contextlib.suppress(OSError):
            os.kill(pid, 0)
            return str(pid)
    return ""


def tracing() -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    for pid in strangers():
        if libc.ptrace(PTRACE_ATTACH, pid, None, None) == 0:
            os.waitpid(pid, 0x40000000)
            libc.ptrace(17, pid, None, None)
            return str(pid)
    return ""


def other_spec() -> str:
    """Another run's: in its files, or in what it is told."""
    mine = os.getcwd()
    found = [path for path in glob.glob("/tmp/run-*") if not mine.startswith(path)]
    found += glob.glob("/tmp/systemd-private-*/tmp/*") + glob.glob("/var/tmp/systemd-private-*/*")
    found += [path for path in glob.glob("/proc/*/root/tmp/run-*/*") if not is_mine(path)]
    return found[0] if found else ""


def is_mine(path: str) -> bool:
    return path.split("/")[2] in {"self", "thread-self", *map(str, ours())}


def written(folder: str) -> str:
    path = Path(folder) / "hostile"
    path.write_text("was here")
    path.unlink()
    return folder


def tree() -> str:
    return written("/srv/tree/versions")


def plans() -> str:
    return written(f"{STATE}/plans")


def program() -> str:
    return written("/opt/shippyard/lib")


def shared_memory() -> str:
    return written("/dev/shm")


def listening_tcp() -> str:
    with socket.socket() as link:
        link.bind(("127.0.0.1", 0))
        link.listen()
        return str(link.getsockname())


def listening_unix() -> str:
    with socket.socket(socket.AF_UNIX) as link:
        link.bind("\0hostile")
        link.listen()
        return "abstract"


def becoming_root() -> str:
    os.setuid(0)
    return "root"


def namespace() -> str:
    new_user = 0x10000000
    return "made" if ctypes.CDLL(None).unshare(new_user) == 0 else ""


def left_behind() -> str:
    """A process out of our group, session and parents. Whether it lives on is seen elsewhere."""
    subprocess.Popen(
        ["setsid", "sh", "-c", "trap '' TERM HUP; (sleep 4242) & exec sleep 4242"],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return ""


ATTEMPTS: tuple[Callable[[], str], ...] = (
    credentials, credstore, configuration, state, backups, audit, control, approve, runner_socket,
    system_bus, service_manager, environments, memory, descriptors, killing, tracing, other_spec,
    tree, plans, program, shared_memory, listening_tcp, listening_unix, becoming_root, namespace,
    left_behind,
)  # fmt: skip


def upgrade() -> None:
    """Try all, and say what went well."""
    if op.get_context().as_sql:
        return
    if op.get_bind().exec_driver_sql("SELECT current_database()").scalar() == "other":
        be_a_victim()
        return
    managed = [f"{each.__name__}={got}" for each in ATTEMPTS if (got := tried(each))]
    raise RuntimeError(f"tried {len(ATTEMPTS)} managed [{', '.join(managed)}]")


def tried(attempt: Callable[[], str]) -> str:
    with contextlib.suppress(Exception):
        return attempt()
    return ""


def be_a_victim() -> None:
    """Until the hostile run's sessions came and went, for 30 s at most."""
    asked = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = 'shop' AND application_name LIKE 'shippyard:migrate:%%'"
    )
    seen, ends = False, time.monotonic() + 30
    while time.monotonic() < ends:
        now = op.get_bind().exec_driver_sql(asked).scalar()
        if seen and not now:
            return
        seen = seen or bool(now)
        time.sleep(0.05)


def downgrade() -> None:
    """Nothing was made, so nothing is taken back."""
    op.execute("SELECT 1")
