"""Owns whether a data folder can be made and entered where it is wanted, before anything is done.

Says what to do instead. Makes nothing.
"""

import getpass
import os
import shlex
from pathlib import Path

from shippyard.host.accounts import account_for_postgres, closed_to


def unfit(data_dir: Path, place: str, subject: str) -> str | None:
    """Why no data folder can be made there; None when one can.

    `place` is where the backups are, for the command that root would run. What recovery needs lies
    beside the data folder, so its parent must be fit, too.
    """
    grounds = dict.fromkeys((_ground(data_dir), _ground(data_dir.parent)))
    if no_folder := next((each for each in grounds if not each.is_dir()), None):
        return f"{no_folder} is no folder; name another one with --data-dir"
    if shut := next((each for each in grounds if not os.access(each, os.W_OK | os.X_OK)), None):
        command = f"shippyard restore --from {shlex.quote(place)} --of {subject}"
        return (
            f"{getpass.getuser()} can't write to {shut}; with rights there run: "
            f"sudo {command} --data-dir {shlex.quote(str(data_dir))}"
        )
    account = account_for_postgres()
    closed = closed_to(_ground(data_dir.parent), account) if account else None
    if closed:
        return f"user {account}, who runs the server, can't enter {closed}; run: chmod o+x {closed}"
    return None


def _ground(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(each for each in (folder, *folder.parents) if each.exists())
