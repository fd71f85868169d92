"""Owns who asks on the socket and what they may: the kernel's word, and the configured lists.

Groups are those the asking process has (`SO_PEERGROUPS`), not those the user could have. Nothing
is decided by process id: ids are used again.
"""

import errno
import grp
import os
import pwd
import socket
import struct
from dataclasses import dataclass

from shippyard.config.models import Control, Role
from shippyard.control.method import Peer

OVERFLOW_ID = 65534
"""What a process in a user namespace sees of every user and group that is not mapped into it."""

SO_PEERGROUPS = 59  # socket(7); Python has no name for it

_ID_BYTES = 4
_PEERGROUPS_BYTES = 1024  # Python asks for no more: 256 groups

NOTHING: frozenset[Role] = frozenset()


@dataclass(frozen=True)
class Account:
    """A process's user and groups, by id and by name. A user without a name has its id as name."""

    uid: int
    user: str
    groups: frozenset[str]


def account_of(connection: socket.socket) -> Account:
    """Whose process is at the other end; it can't be forged.

    Raises:
        OSError: the other end is gone.
    """
    size = struct.calcsize("iII")
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    _, uid, gid = struct.unpack("iII", raw)
    gids = {gid, *_supplementary_gids(connection)} - {OVERFLOW_ID}
    return Account(uid, _user_name(uid), frozenset(map(_group_name, gids)))


def roles_of(account: Account, config: Control, *, own_uid: int | None) -> frozenset[Role]:
    """What an account may do. With no viewers listed, whoever opens the socket may look.

    `own_uid` is a user that may operate without being listed: the daemon's own, outside
    production. For root only `allow_root` counts, because sudo makes everyone root; its groups
    and its name in a list count for nothing.
    """
    if account.uid == OVERFLOW_ID:
        return NOTHING
    if account.uid == 0:
        return frozenset({"viewer", "operator"} if config.allow_root else {"viewer"})
    roles: set[Role] = set()
    if _is_listed(account, config.operators) or account.uid == own_uid:
        roles.add("operator")
    if _is_listed(account, config.approvers):
        roles.add("approver")
    if roles or not config.viewers or _is_listed(account, config.viewers):
        roles.add("viewer")
    return frozenset(roles)


def peer_of(connection: socket.socket, config: Control, *, own_uid_is_operator: bool) -> Peer:
    """Who is at the other end of a connection, with their roles.

    Raises:
        OSError: the other end is gone.
    """
    account = account_of(connection)
    own_uid = os.geteuid() if own_uid_is_operator else None
    return Peer(account.uid, account.user, roles_of(account, config, own_uid=own_uid))


def _is_listed(account: Account, names: tuple[str, ...]) -> bool:
    return any(
        name[1:] in account.groups if name.startswith("@") else name == account.user
        for name in names
    )


def _supplementary_gids(connection: socket.socket) -> tuple[int, ...]:
    """Group ids beside the primary one; none when there are more than can be asked for."""
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, _PEERGROUPS_BYTES)
    except OSError as error:
        if error.errno == errno.ERANGE:
            return ()
        raise
    return struct.unpack(f"{len(raw) // _ID_BYTES}I", raw)


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
