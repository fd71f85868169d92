"""Owns the difference between the roles that should be and those that are. Pure."""

from collections.abc import Iterator

from psycopg import sql

from shippyard.setup.bootstrap.found import FoundCluster, FoundRole, Membership
from shippyard.setup.bootstrap.model import Drift, Step, said, trusted
from shippyard.setup.bootstrap.passwords import METHOD, Passwords, is_verifier_of
from shippyard.setup.bootstrap.wanted import WantedCluster, WantedDatabase, WantedRole

USUAL = frozenset({"INHERIT"})
# Settings by which a role would be somebody else, or see another person's rows, unasked.
TELLING = frozenset({"role", "app.user_id", "row_security", "search_path"})


def role_steps(wanted: WantedCluster, found: FoundCluster, passwords: Passwords) -> Iterator[Step]:
    """What makes the roles as they should be, where something is missing."""
    for role in wanted.roles:
        yield from _made(role, found.roles.get(role.name), passwords)
    for role in wanted.roles:
        yield from _admitted(role, found)
    for role in wanted.roles:
        yield from _set(role, found)


def database_steps(wanted: WantedDatabase, found: FoundCluster) -> Iterator[Step]:
    """What makes the database itself, its owner, and whose name its migrator works in."""
    dbname, owner = wanted.dbname, wanted.owner
    if dbname not in found.owners:
        statement = said("CREATE DATABASE {} OWNER {}", dbname, owner)
        yield Step(f"there is no database {dbname}", statement)
    elif found.owners[dbname] != owner:
        what = f"database {dbname} is {found.owners[dbname]}'s, not {owner}'s"
        yield Step(what, said("ALTER DATABASE {} OWNER TO {}", dbname, owner))
    migrator = wanted.migrator
    if migrator and found.settings.get((migrator, dbname, "role")) != owner:
        what = f"what {migrator} makes in {dbname} would not be {owner}'s"
        text = "ALTER ROLE {} IN DATABASE {} SET role = {}"
        yield Step(what, said(text, migrator, dbname, owner))


def role_flaws(wanted: WantedCluster, found: FoundCluster) -> Iterator[Drift]:
    """What roles are or may be beyond what they need."""
    for role in wanted.roles:
        if there := found.roles.get(role.name):
            yield from _mighty(role, there)
            yield from _stored_otherwise(role, there)
        yield from _odd_settings(role, wanted, found)
    for membership in found.memberships:
        yield from _too_close(membership, wanted)


def role_notes(wanted: WantedCluster, found: FoundCluster, passwords: Passwords) -> Iterator[str]:
    """What a person should know, though nothing is wrong with it."""
    for name, reason in passwords.unread.items():
        yield f"the password of {name} was not looked at: {reason}"
    without = [role.name for role in wanted.roles if _has_none(role, found, passwords)]
    if without:
        yield f"without a password, let in only where pg_hba.conf asks none: {', '.join(without)}"


def _has_none(role: WantedRole, found: FoundCluster, passwords: Passwords) -> bool:
    there = found.roles.get(role.name)
    is_known = role.name in passwords.given or role.name in passwords.unread
    return "LOGIN" in role.attributes and not is_known and not (there and there.verifier)


def _made(role: WantedRole, there: FoundRole | None, passwords: Passwords) -> Iterator[Step]:
    password = passwords.given.get(role.name)
    if there is None:
        statement = _with_words("CREATE ROLE {}", role.name, role.attributes)
        yield Step(f"there is no role {role.name}", statement, password=password)
        return
    if lacking := (role.attributes | USUAL) - there.attributes:
        what = f"{role.name} lacks {', '.join(sorted(lacking))}"
        yield Step(what, _with_words("ALTER ROLE {}", role.name, lacking))
    if password and not is_verifier_of(there.verifier, password):
        what = f"{role.name} has another password than the one in its credential"
        yield Step(what, said("ALTER ROLE {}", role.name), password=password)


def _admitted(role: WantedRole, found: FoundCluster) -> Iterator[Step]:
    has = {each.role for each in found.memberships if each.member == role.name}
    for group in sorted(role.member_of - has):
        what = f"{role.name} is no member of {group}"
        yield Step(what, said("GRANT {} TO {}", group, role.name))


def _set(role: WantedRole, found: FoundCluster) -> Iterator[Step]:
    for name, value in role.settings:
        now = found.settings.get((role.name, "", name))
        if now != value:
            what = f"{name} of {role.name} is {now or 'not set'}, not {value}"
            text = sql.SQL("ALTER ROLE {} SET {} = {}").format(
                sql.Identifier(role.name), sql.Identifier(name), sql.Literal(value)
            )
            yield Step(what, text)


def _mighty(role: WantedRole, there: FoundRole) -> Iterator[Drift]:
    for attribute in sorted(there.attributes - role.attributes - USUAL):
        mend = said("ALTER ROLE {} " + f"NO{attribute}", role.name).as_string()
        yield Drift("too much", f"{role.name} has {attribute}", f"{mend};")


def _stored_otherwise(role: WantedRole, there: FoundRole) -> Iterator[Drift]:
    if there.verifier and not there.verifier.startswith(METHOD):
        what = f"the password of {role.name} is not stored as {METHOD}"
        yield Drift("missing", what, said("\\password {}", role.name).as_string())


def _odd_settings(role: WantedRole, wanted: WantedCluster, found: FoundCluster) -> Iterator[Drift]:
    for (name, dbname, setting), value in sorted(found.settings.items()):
        if name != role.name or setting not in TELLING or _is_ours(name, dbname, setting, wanted):
            continue
        place = said("IN DATABASE {} ", dbname) if dbname else sql.Composed([])
        mend = said("ALTER ROLE {} ", name) + place + said("RESET {}", setting)
        what = f"{name} has {setting} = {value} set" + (f" in {dbname}" if dbname else "")
        yield Drift("too much", what, f"{mend.as_string()};")


def _is_ours(name: str, dbname: str, setting: str, wanted: WantedCluster) -> bool:
    return setting == "role" and any(
        each.migrator == name and each.dbname == dbname for each in wanted.databases
    )


def _too_close(found: Membership, wanted: WantedCluster) -> Iterator[Drift]:
    """A role of ours in a group it needs not, or anyone in a role of ours that is no group."""
    roles = {role.name: role for role in wanted.roles}
    member, group = roles.get(found.member), roles.get(found.role)
    if not (member or group) or found.member in wanted.others:
        return
    if found.is_super and not member:
        return
    revoke = said("REVOKE {} FROM {}", found.role, found.member).as_string()
    is_wanted = found.role in member.member_of if member else group is None or group.is_group
    if not is_wanted:
        yield Drift("too much", f"{found.member} is a member of {found.role}", f"{revoke};")
    elif found.may_admit:
        mend = said("REVOKE ADMIN OPTION FOR {} FROM {}", found.role, found.member).as_string()
        yield Drift("too much", f"{found.member} may let others into {found.role}", f"{mend};")


def _with_words(text: str, name: str, words: frozenset[str]) -> sql.Composed:
    more = "".join(f" {word}" for word in sorted(words))
    return said(trusted(text + more), name)
