"""Owns what becomes of a cluster's globals in a restore: roles that are missing are made.

Roles that exist are left as they are and said. Passwords are never set, tablespaces never made:
their folders are production's. Pure but for `apply_globals`, which only talks to the server.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from shippyard.backup.manifest import Environment
from shippyard.backup.restore.archive import as_superuser
from shippyard.postgres.session import QueryFailed, session
from shippyard.postgres.target import Target
from shippyard.postgres.writing import quoted_name, quoted_text, writing_session

STATEMENT_TIMEOUT_S = 30.0

_NAME = r'("(?:[^"]|"")+"|[^\s;"]+)'
_CREATE = re.compile(rf"CREATE ROLE {_NAME}\s*", re.DOTALL)
_ALTER = re.compile(rf"ALTER ROLE {_NAME}\s.*", re.DOTALL)
_COMMENT = re.compile(rf"COMMENT ON ROLE {_NAME}\s.*", re.DOTALL)
_DEFAULT_SPACE = re.compile(rf"^SET default_tablespace = {_NAME};$", re.MULTILINE)
_GRANT = re.compile(rf"GRANT {_NAME} TO {_NAME}.*", re.DOTALL)
_TABLESPACE = re.compile(rf"(?:CREATE|ALTER|COMMENT ON|GRANT .*ON) TABLESPACE {_NAME}.*", re.DOTALL)
_MEMBER, _UNTIL = "member of ", "valid until "
_PASSWORD = re.compile(r"\s+PASSWORD\s+E?'(?:[^']|'')*'")
_TOKEN = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|;|[^'";-]+|.""", re.DOTALL)


class GlobalsFailed(Exception):
    """A missing role could not be made; the message says what lets us make it."""


@dataclass(frozen=True)
class GlobalsPlan:
    """What to say to the server, and what to say to a person."""

    statements: tuple[str, ...]
    made: tuple[str, ...]
    notes: tuple[str, ...]


def plan_globals(script: str, existing: Collection[str]) -> GlobalsPlan:
    """What of a `pg_dumpall --globals-only` script is run where `existing` roles are."""
    statements: list[str] = []
    made: list[str] = []
    kept: list[str] = []
    spaces: list[str] = []
    for statement in statements_of(script):
        if found := _CREATE.fullmatch(statement):
            (kept if _bare(found.group(1)) in existing else made).append(_bare(found.group(1)))
        if found := _TABLESPACE.fullmatch(statement):
            spaces.append(_bare(found.group(1)))
        elif _concerns(statement, made):
            statements.append(_PASSWORD.sub("", statement))
    return GlobalsPlan(tuple(statements), tuple(made), _notes(made, kept, spaces))


def script_of(environment: Environment) -> str:
    """Globals as far as a manifest knows them: roles, what they may, whose members they are."""
    lines = [f"CREATE ROLE {quoted_name(role)};" for role in environment.roles]
    for role, attributes in environment.roles.items():
        options = [_option(each) for each in attributes if not each.startswith(_MEMBER)]
        if options:
            lines.append(f"ALTER ROLE {quoted_name(role)} WITH {' '.join(options)};")
        groups = (each.removeprefix(_MEMBER) for each in attributes if each.startswith(_MEMBER))
        lines += [f"GRANT {quoted_name(group)} TO {quoted_name(role)};" for group in groups]
    return "\n".join(lines)


def statements_of(script: str) -> Iterator[str]:
    """The statements of an SQL script, without comments and psql's own lines."""
    said = ""
    plain = "\n".join(line for line in script.split("\n") if not line.startswith("\\"))
    for part in _TOKEN.findall(plain):
        if part == ";":
            yield said.strip()
            said = ""
        elif not part.startswith("--"):
            said += part


def apply_globals(script: str, into: Target) -> tuple[str, ...]:
    """Make the roles that are missing; gives what there is to say.

    Raises:
        GlobalsFailed: one could not be made.
        Unreachable, QueryFailed: the server gave no answer.
    """
    with session(into, "restore") as opened:
        existing = {row["rolname"] for row in opened.query("SELECT rolname FROM pg_roles")}
    plan = plan_globals(script, existing)
    return plan.notes + _run(plan, into) if plan.statements else plan.notes


def _run(plan: GlobalsPlan, into: Target) -> tuple[str, ...]:
    notes = []
    with writing_session(into, "restore") as opened:
        for statement in plan.statements:
            try:
                opened.query(statement, timeout_s=STATEMENT_TIMEOUT_S)
            except QueryFailed as error:
                if statement.startswith("CREATE ROLE"):
                    raise GlobalsFailed(
                        f"{statement}: {error}; {as_superuser(into.user)}"
                    ) from None
                notes.append(f"not applied: {statement} ({error})")
    return tuple(notes)


def in_default_tablespace(script: str, absent: Collection[str]) -> str:
    """A script of pg_dump's that puts nothing into tablespaces that are not there."""

    def mended(found: re.Match[str]) -> str:
        return "SET default_tablespace = '';" if _bare(found.group(1)) in absent else found.group(0)

    return _DEFAULT_SPACE.sub(mended, script)


def _concerns(statement: str, made: Collection[str]) -> bool:
    """Whether a statement is about a role that is being made."""
    for shape in (_CREATE, _ALTER, _COMMENT):
        if found := shape.fullmatch(statement):
            return _bare(found.group(1)) in made
    granted = _GRANT.fullmatch(statement)
    return bool(granted and {_bare(granted.group(1)), _bare(granted.group(2))} & set(made))


def _notes(made: list[str], kept: list[str], spaces: list[str]) -> tuple[str, ...]:
    notes = []
    if made:
        notes.append(f"roles made, without passwords: {', '.join(made)}")
    if kept:
        notes.append(f"roles left as they were: {', '.join(kept)}")
    if spaces:
        names = ", ".join(sorted(set(spaces)))
        notes.append(f"tablespaces not made: {names}")
    return tuple(notes)


def _option(attribute: str) -> str:
    """An attribute as ALTER ROLE has it; only `valid until` has a value that is text."""
    if attribute.startswith(_UNTIL):
        return f"VALID UNTIL {quoted_text(attribute.removeprefix(_UNTIL))}"
    return attribute.upper()


def _bare(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
