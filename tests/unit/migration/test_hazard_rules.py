"""Hazards are told from text: of the corpus nearly all, and of what is safe nearly none."""

import re
from pathlib import Path

import pytest

from bench.hazard_cases import findings_of, load_cases, score
from shippyard.migration.hazards import Hazard, find_hazards, find_in_sql
from shippyard.migration.hazards.model import one_line
from shippyard.migration.plan import Plan, Rendered, read_revision

PAGE = Path(__file__).resolve().parents[3] / "docs" / "hazards.md"
SOURCES = Path(__file__).resolve().parents[3] / "shippyard" / "migration" / "hazards"


def ids(found: tuple[Hazard, ...]) -> list[str]:
    return [each.id for each in found if each.level != "note"]


def in_revision(
    upgrade: str, downgrade: str = "op.execute('SELECT 1')", rendered: str | None = None
) -> tuple[Hazard, ...]:
    source = '"""x"""\nrevision = "002"\ndown_revision = "001"\ndef upgrade():\n'
    source += "".join(f"    {line}\n" for line in upgrade.splitlines())
    source += f"def downgrade():\n    {downgrade}\n"
    revision = read_revision("versions/002_x.py", source.encode())
    up = Rendered(rendered) if rendered is not None else Rendered("", "not rendered")
    plan = Plan("d", "001", "002", ("002",), (revision,), {}, {"002": up}, {})
    return find_hazards(plan, {"versions/002_x.py": source.encode()})


def test_the_corpus_is_told_apart(tmp_path: Path) -> None:
    cases = load_cases()

    found = {case.name: findings_of(case, tmp_path / case.name) for case in cases}
    by_text = score(cases, found, {case.name for case in cases if case.needs})

    assert by_text.holds, f"missed {by_text.missed}, flagged {by_text.flagged}"
    assert len(cases) >= 66


def test_a_case_that_data_shows_is_missed_until_a_rehearsal_saw_it() -> None:
    case = next(each for each in load_cases() if each.needs)

    assert score([case], {case.name: ()}).missed == (case.name,)
    assert score([case], {case.name: ()}, {case.name}).missed == ()


@pytest.mark.parametrize(
    ("statement", "wanted"),
    [
        ('ALTER TABLE ONLY "a"."B" ADD COLUMN IF NOT EXISTS x int, ALTER y SET NOT NULL', ["H20"]),
        ("ALTER TABLE t ADD COLUMN x timestamptz NOT NULL DEFAULT now()", []),
        ("ALTER TABLE t ADD COLUMN x uuid DEFAULT uuid_generate_v4()", ["H11"]),
        ("ALTER TABLE t ADD x int REFERENCES u (id)", []),
        ("ALTER TABLE t ADD x int DEFAULT 1 REFERENCES u (id)", ["H22"]),
        ("CREATE TABLE n (id bigint PRIMARY KEY); CREATE INDEX ON n (id)", []),
        ("CREATE TEMP TABLE n (id int); UPDATE n SET id = 1", []),
        ("CREATE TABLE n (id serial PRIMARY KEY)", ["H56"]),
        ("UPDATE t SET x = 1 WHERE id IN (SELECT id FROM t WHERE x IS NULL LIMIT 500)", []),
        ("ALTER TABLE t ADD CONSTRAINT c UNIQUE USING INDEX i", []),
        ("ALTER TABLE t ADD CONSTRAINT c NOT NULL x NOT VALID", []),
        ("ALTER TABLE t DROP COLUMN x CASCADE", ["H34", "H32"]),
        ("DROP TABLE IF EXISTS s.t", ["H33"]),
        ("DELETE FROM t", ["H36"]),
        ("RESET lock_timeout", ["H44"]),
        ("SET LOCAL lock_timeout = '50ms'", []),
        ("ALTER TABLE t ALTER x SET STATISTICS 500", []),
        ("alter tabel t", ["H74"]),
    ],
)
def test_a_statement_is_judged(statement: str, wanted: list[str]) -> None:
    assert ids(find_in_sql(statement)) == wanted


def test_what_stands_outside_a_transaction_may_be_concurrent() -> None:
    build = "CREATE INDEX CONCURRENTLY i ON t (x)"

    assert ids(find_in_sql(build)) == ["H02"]
    assert ids(find_in_sql(build, in_transaction=False)) == []
    assert ids(find_in_sql(f"BEGIN; {build}; COMMIT", in_transaction=False)) == ["H02"]


def test_a_line_is_that_of_the_step_in_the_file() -> None:
    upgrade = "op.execute('SELECT 1')\nop.rename_table('a', 'b')"
    rendered = "BEGIN;\nSELECT 1;\nALTER TABLE a RENAME TO b;\nCOMMIT;"

    (found,) = in_revision(upgrade, rendered=rendered)

    assert (found.id, found.line, found.way) == ("H31", 6, "up")
    assert found.statement == "ALTER TABLE a RENAME TO b"


def test_a_reason_beside_it_lets_a_hazard_pass_and_it_is_shown() -> None:
    (found,) = in_revision("# shippyard: allow H31 because a is new\nop.rename_table('a', 'b')")

    assert found.suppressed == "a is new"
    assert not found.flags


def test_a_reason_elsewhere_lets_nothing_pass() -> None:
    upgrade = "# shippyard: allow H31 because a is new\npass\npass\nop.rename_table('a', 'b')"

    assert [each.suppressed for each in in_revision(upgrade)] == [None]


def test_no_reason_lets_nothing_pass_and_is_a_finding() -> None:
    found = in_revision("op.rename_table('a', 'b')  # shippyard: allow H31")

    assert {each.id: each.suppressed for each in found} == {"H31": None, "H73": None}


def test_a_statement_in_sql_is_let_pass_by_a_comment() -> None:
    text = "SELECT 1;\n-- shippyard: allow H35 because it is a cache\nTRUNCATE t;"

    assert [each.suppressed for each in find_in_sql(text)] == ["it is a cache"]


def test_what_python_sends_itself_is_seen() -> None:
    loop = "bind = op.get_bind()\nfor row in bind.execute(sa.select(t)):\n"
    loop += "    bind.execute(sa.text('UPDATE t SET x = 1 WHERE id = :i'), {'i': row.id})"
    raw = "c = op.get_bind().connection.cursor()\nc.execute('TRUNCATE t')"

    assert ids(in_revision(loop)) == ["H40"]
    assert ids(in_revision(raw)) == ["H35", "H41"]


def test_a_way_back_warns_and_never_blocks() -> None:
    found = in_revision("op.execute('SELECT 1')", "op.drop_table('u')")

    assert [(each.id, each.level, each.way) for each in found] == [("H33", "warn", "down")]


def test_what_a_downgrade_forgets_is_named() -> None:
    upgrade = "op.create_table('n', sa.Column('id', sa.Uuid()))\nop.drop_column('t', 'x')"

    (forgets,) = [each for each in in_revision(upgrade) if each.id == "H57"]

    assert "column t.x, table n" in forgets.why
    back = "op.drop_table('n'); op.add_column('t', sa.Column('x', sa.Text()))"
    assert "H57" not in ids(in_revision(upgrade, back))


def test_what_the_author_says_a_type_was_is_believed() -> None:
    step = "op.alter_column('t', 'x', type_=sa.String({}), existing_type=sa.String({}))"

    assert ids(in_revision(step.format(80, 40))) == []
    assert ids(in_revision(step.format(40, 80))) == ["H16"]


def test_a_join_is_not_a_key_and_a_change_in_a_with_is_a_change() -> None:
    assert ids(find_in_sql("UPDATE t SET x = u.y FROM u WHERE u.t_id = t.id")) == ["H36"]
    moved = "WITH d AS (DELETE FROM t RETURNING *) INSERT INTO u SELECT * FROM d"
    assert ids(find_in_sql(moved)) == ["H36"]


def test_two_steps_that_commit_want_two_revisions() -> None:
    both = "with op.get_context().autocommit_block():\n"
    both += "    op.create_index('i', 't', ['x'], postgresql_concurrently=True)\n"
    both += "    op.create_index('j', 't', ['y'], postgresql_concurrently=True)"

    assert ids(in_revision(both)) == ["H60"]
    assert ids(in_revision("ops.add_check('c', 't', 'x > 0')")) == []


def test_the_page_has_every_id_that_the_rules_say() -> None:
    said = {
        each
        for path in SOURCES.rglob("*.py")
        for each in re.findall(r'"(H\d\d)"', path.read_text())
    }
    row = re.compile(r"^\| (H\d\d) \|.*\| text(?:, rehearsal)? \|$", re.MULTILINE)

    assert set(row.findall(PAGE.read_text())) == said


def test_a_long_statement_is_shown_on_one_line() -> None:
    assert len(one_line("SELECT 1,\n" * 100)) == 200
