"""What a backup role lacks, and the statements that give it."""

from dataclasses import replace

import pytest

from shippyard.backup.model import Kind
from shippyard.backup.rights import Rights, lacks, refusal

ENOUGH = Rights('"Back"', "shop", is_superuser=False, may_replicate=False)
READ = 'GRANT pg_read_all_data TO "Back"'
BYPASS = 'ALTER ROLE "Back" BYPASSRLS'
OBJECTS = 'ALTER ROLE "Back" IN DATABASE shop SET lo_compat_privileges = on'
PASSWORDS = 'GRANT SELECT ON pg_catalog.pg_authid TO "Back"'
POOR = replace(
    ENOUGH,
    tables=("a", "b", "c", "d"),
    sequences=("s",),
    filtered_tables=("a",),
    large_objects=2,
    may_read_passwords=False,
)


@pytest.mark.parametrize(
    ("rights", "kind", "with_passwords", "remedies"),
    [
        (ENOUGH, "dump", True, []),
        (POOR, "dump", True, [READ, BYPASS, OBJECTS, PASSWORDS]),
        (POOR, "dump", False, [READ, BYPASS, OBJECTS]),
        (POOR, "schema", True, [READ]),
        (replace(ENOUGH, sequences=("s",)), "dump", False, [READ]),
        (replace(ENOUGH, large_objects=1), "dump", False, [OBJECTS]),
        (ENOUGH, "base", False, ['ALTER ROLE "Back" REPLICATION']),
        (replace(POOR, may_replicate=True), "base", False, []),
    ],
)
def test_each_lack_has_its_statement(
    rights: Rights, kind: Kind, *, with_passwords: bool, remedies: list[str]
) -> None:
    found = lacks(rights, kind, with_passwords=with_passwords)
    assert [lack.remedy for lack in found] == remedies


def test_all_of_it_is_said_in_one_line() -> None:
    said = refusal(POOR, lacks(POOR, "dump", with_passwords=True))
    assert said == (
        'permission denied: role "Back" can\'t read 4 tables (a, b, c and 1 more) and '
        "can't read 1 sequence (s), would see only some rows (row-level security) of 1 table (a), "
        "can't read 2 large objects of other roles, can't read the roles' password verifiers "
        f"(backup.dump.role_passwords); as a superuser run: {READ}; {BYPASS}; {OBJECTS}; "
        f"{PASSWORDS}"
    )
    assert refusal(ENOUGH, []) is None
