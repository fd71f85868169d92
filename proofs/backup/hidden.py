"""Proves that a password is nowhere to be seen while backups are made, and files are closed."""

import threading
import time
from contextlib import suppress
from pathlib import Path

from proofs.backup.making import CLUSTER, prepare, take
from proofs.rig import DATABASE, Rig, rig
from proofs.table import Context, Outcome

SECRET = "hunter2-Zebra-4711"
ROLE = "keeper"


class Watcher:
    """Reads every process's arguments and every backup file's mode, over and over."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._stopping = threading.Event()
        self.looks = 0
        self.longest_gap_s = 0.0
        self.seen: set[str] = set()
        self.wrong: set[str] = set()
        self.programs: set[str] = set()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        self._thread.join(10)

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._stopping.is_set():
            self._look_at_arguments()
            if self.looks % 10 == 0:
                self._look_at_modes()
            now = time.monotonic()
            self.longest_gap_s = max(self.longest_gap_s, now - last)
            last = now
            self.looks += 1

    def _look_at_arguments(self) -> None:
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                arguments = (folder / "cmdline").read_bytes()
                if SECRET.encode() in arguments:
                    self.seen.add(arguments.decode(errors="replace").replace("\0", " "))
                for program in ("pg_dump", "pg_dumpall", "pg_basebackup", "pg_restore"):
                    if f"/{program}\0".encode() in arguments:
                        self.programs.add(program)

    def _look_at_modes(self) -> None:
        for path in self._root.rglob("*"):
            with suppress(OSError):
                status = path.stat()
                wanted = 0o700 if path.is_dir() else 0o600
                # What is made or read in a hidden folder is closed by that one alone at first.
                hidden = any(part[0] == "." for part in path.relative_to(self._root).parts[:-1])
                if status.st_mode & 0o777 != wanted and not hidden:
                    self.wrong.add(f"{path.name} {status.st_mode & 0o777:o}")


def secrets(context: Context) -> Outcome:
    """Every kind by a role that must show a password, watched all the while."""
    with rig(context) as stage:
        _log_in_by_password(stage, context.folder)
        prepare(stage)
        stage.start()
        watcher = Watcher(stage.backups)
        for _ in range(context.count(full=20, quick=2)):
            for subject, kind in ((DATABASE, "dump"), (DATABASE, "schema"), (CLUSTER, "base")):
                backup = take(stage, subject, kind)
                stage.call("backup.verify", {"id": backup["id"]})
        watcher.stop()
        told = _told(stage)
    problems = [*(f"in argv: {each}" for each in watcher.seen), *watcher.wrong, *told]
    if not {"pg_dump", "pg_basebackup"} <= watcher.programs:
        problems.append(f"of the programs only {sorted(watcher.programs)} were seen at work")
    measured = (
        f"{watcher.looks} looks at every process, {watcher.longest_gap_s * 1000:.0f} ms apart at "
        f"most, at {', '.join(sorted(watcher.programs))}: {len(problems)} findings"
    )
    return Outcome(measured, not problems, "; ".join(problems[:5]))


def _log_in_by_password(stage: Rig, folder: Path) -> None:
    """The backup role has a password, and the server wants to see it."""
    with stage.connect() as connection:
        connection.execute(f"CREATE ROLE {ROLE} SUPERUSER LOGIN PASSWORD '{SECRET}'".encode())
    rules = stage.cluster.data_dir / "pg_hba.conf"
    lines = f"local all {ROLE} scram-sha-256\nlocal replication {ROLE} scram-sha-256\n"
    rules.write_text(lines + rules.read_text())
    with stage.connect() as connection:
        connection.execute("SELECT pg_reload_conf()")
    credentials = folder / "credentials"
    credentials.mkdir(mode=0o700)
    (credentials / "keeper").write_text(SECRET)
    stage.env["CREDENTIALS_DIRECTORY"] = str(credentials)
    for database in stage.document["databases"]:
        database["backup"] = {"user": ROLE, "password_credential": "keeper"}


def _told(stage: Rig) -> list[str]:
    """Where the password was written: logs, manifests, and the daemon's memory of them."""
    assert stage.daemon is not None
    problems = ["in the daemon's log"] if SECRET in stage.daemon.said() else []
    files = [*stage.backups.rglob("*"), *(stage.folder / "state").rglob("*")]
    held = [path for path in files if path.is_file() and SECRET.encode() in path.read_bytes()]
    return problems + [f"in {path.name}" for path in held]
