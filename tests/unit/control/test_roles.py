"""Who may do what: every kind of user against every kind of list."""

import os
import socket

import pytest

from shippyard.config.models import Control
from shippyard.control.peers import OVERFLOW_ID, Account, account_of, peer_of, roles_of

VIEWER = {"viewer"}
OPERATOR = {"viewer", "operator"}
APPROVER = {"viewer", "approver"}
NOBODY: set[str] = set()

LISTS = Control(
    viewers=("vera", "@watch"), operators=("olga", "@ops"), approvers=("anna", "@leads")
)
OPEN = Control(operators=("olga", "@ops"), approvers=("anna",))


def account(user: str, *groups: str, uid: int = 1000) -> Account:
    return Account(uid, user, frozenset(groups))


@pytest.mark.parametrize(
    ("who", "config", "roles"),
    [
        (account("vera"), LISTS, VIEWER),
        (account("bob", "watch"), LISTS, VIEWER),
        (account("olga"), LISTS, OPERATOR),
        (account("bob", "ops"), LISTS, OPERATOR),
        (account("anna"), LISTS, APPROVER),
        (account("bob", "leads"), LISTS, APPROVER),
        (account("bob", "leads", "ops"), LISTS, OPERATOR | APPROVER),
        (account("bob", "users"), LISTS, NOBODY),
        (account("ops"), LISTS, NOBODY),  # a user called as a group is
        (account("@ops"), LISTS, NOBODY),
        (account("bob", "olga"), LISTS, NOBODY),  # a group called as a user is
        (account("bob"), OPEN, VIEWER),
        (account("olga"), OPEN, OPERATOR),
        (account("bob"), Control(), VIEWER),
        (account("nobody", "ops", uid=OVERFLOW_ID), LISTS, NOBODY),
        (account("olga", uid=OVERFLOW_ID), Control(allow_root=True), NOBODY),
        (account("root", uid=0), LISTS, VIEWER),
        (account("root", "ops", "leads", uid=0), LISTS, VIEWER),
        (account("root", uid=0), Control(operators=("root",), approvers=("root",)), VIEWER),
        (account("root", uid=0), Control(allow_root=True), OPERATOR),
        (account("root", "leads", uid=0), LISTS.model_copy(update={"allow_root": True}), OPERATOR),
    ],
)
def test_roles(who: Account, config: Control, roles: set[str]) -> None:
    assert roles_of(who, config, own_uid=None) == roles


@pytest.mark.parametrize(
    ("uid", "own_uid", "roles"),
    [
        (998, 998, OPERATOR),
        (999, 998, NOBODY),
        (0, 0, VIEWER),
        (OVERFLOW_ID, OVERFLOW_ID, NOBODY),
        (998, None, NOBODY),
    ],
)
def test_the_daemons_own_user(uid: int, own_uid: int | None, roles: set[str]) -> None:
    assert roles_of(account("shippyard", uid=uid), LISTS, own_uid=own_uid) == roles


def test_the_kernel_says_who_is_at_the_other_end() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        found = account_of(ours)
        peer = peer_of(ours, Control(allow_root=True), own_uid_is_operator=True)
    assert found.uid == peer.uid == os.geteuid()
    assert found.user == peer.user
    assert found.groups
    assert peer.roles == OPERATOR
