"""Privileges become few statements, rightly quoted."""

from shippyard.setup.bootstrap.bundles import bundled
from shippyard.setup.bootstrap.model import PUBLIC, Grant


def given(*grants: Grant) -> list[str]:
    return [bundle.given("boss").as_string() for bundle in bundled(grants)]


def taken(*grants: Grant) -> list[str]:
    return [bundle.taken("boss").as_string() for bundle in bundled(grants)]


def on_table(table: str, grantee: str, privilege: str) -> Grant:
    return Grant("TABLE", "public", f"public.{table}", grantee, privilege)


def test_what_is_alike_is_one_statement() -> None:
    grants = [
        on_table(table, role, privilege)
        for table in ("a", "b")
        for role in ("x", "y")
        for privilege in ("UPDATE", "SELECT")
    ]
    assert given(*grants) == ['GRANT SELECT, UPDATE ON TABLE public.a, public.b TO "x", "y"']


def test_what_differs_is_apart() -> None:
    assert len(given(on_table("a", "x", "SELECT"), on_table("b", "x", "UPDATE"))) == 2


def test_names_are_quoted_and_public_is_a_word() -> None:
    odd = Grant("SCHEMA", 'we"ird', 'we"ird', PUBLIC, "USAGE")
    assert taken(odd) == ['REVOKE USAGE ON SCHEMA "we""ird" FROM PUBLIC']


def test_default_privileges_name_their_maker_and_schema() -> None:
    assert given(Grant("DEFAULT", "public", "r", "x", "SELECT")) == [
        'ALTER DEFAULT PRIVILEGES FOR ROLE "boss" IN SCHEMA "public" GRANT SELECT ON TABLES TO "x"'
    ]
    assert taken(Grant("DEFAULT", "", "f", PUBLIC, "EXECUTE")) == [
        'ALTER DEFAULT PRIVILEGES FOR ROLE "boss" REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC'
    ]


def test_each_privilege_of_a_column_names_the_column() -> None:
    grants = [
        Grant("COLUMN", "public", "public.a", "x", privilege, column="c")
        for privilege in ("SELECT", "UPDATE")
    ]
    assert taken(*grants) == ['REVOKE SELECT ("c"), UPDATE ("c") ON TABLE public.a FROM "x"']


def test_in_words_the_first_two_are_named() -> None:
    (bundle,) = bundled(on_table(name, "x", "SELECT") for name in "abc")
    assert bundle.told("may") == "x may SELECT on table public.a, public.b and 1 more"
