"""Owns the one command that ends a session and no other: guarded by pid and backend_start. Pure."""

from datetime import datetime

PREPARED = "find it in pg_prepared_xacts, then COMMIT PREPARED or ROLLBACK PREPARED it"
UNSEEN = "it can't be seen: grant pg_monitor to the role that monitors"

# Cancelling reaches a statement that runs; a session between statements ignores it.
_RUNNING = frozenset({"active", "fastpath function call"})


def ending(pid: int, backend_start: datetime | None, state: str | None) -> str:
    """SQL that ends what a session does: cancel while a statement runs, terminate otherwise.

    A pid can be another session by the time the command is run; its start time can't.
    """
    if pid == 0:
        return PREPARED
    if backend_start is None:
        return UNSEEN
    function = "pg_cancel_backend" if state in _RUNNING else "pg_terminate_backend"
    return (
        f"SELECT {function}(pid) FROM pg_stat_activity "
        f"WHERE pid = {pid} AND backend_start = '{backend_start.isoformat(sep=' ')}'"
    )
