"""Plans, pure: which revisions, which hash, which words when it can't be."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from shippyard.migration.plan import (
    Plan,
    PlanRefused,
    Rendered,
    Revision,
    heads_of,
    history_of,
    read_revision,
    read_revisions,
    resolve_target,
    select_revisions,
)
from shippyard.migration.tree import Tree, TreeUnusable, differences, publish_copy, read_tree

SOURCE = b'''"""Add parcels.

More words.
"""
revision: str = "001"
down_revision = None
def upgrade():
    pass
def downgrade():
    %s
'''


def revision(name: str, *down: str, depends: tuple[str, ...] = ()) -> Revision:
    return Revision(name, down, depends, f"versions/{name}_x.py", "x", reversible=True)


def tree_of(*revisions: Revision) -> Mapping[str, Revision]:
    return {r.revision: r for r in revisions}


CHAIN = tree_of(revision("001"), revision("002", "001"), revision("003", "002"))
FORK = {**CHAIN, "003b": revision("003b", "002")}


def plan(**changes: object) -> Plan:
    fields = {
        "database": "shippyar",
        "current": "001",
        "target": "002",
        "heads": ("002",),
        "revisions": (revision("002", "001"),),
        "files": {"env.py": "aa"},
        "rendered": {"002": Rendered("SELECT 1")},
    }
    return Plan(**{**fields, **changes})  # type: ignore[arg-type]  # fields by name


def test_a_revision_is_read_without_running_it() -> None:
    read = read_revision("versions/001_x.py", SOURCE % b"op.drop_table('parcels')")
    assert read == Revision("001", (), (), "versions/001_x.py", "Add parcels.", reversible=True)


@pytest.mark.parametrize(
    "body", [b"pass", b"...", b'"""No way back."""', b"raise NotImplementedError"]
)
def test_an_empty_downgrade_is_no_way_back(body: bytes) -> None:
    assert not read_revision("x.py", SOURCE % body).reversible


def test_no_downgrade_is_no_way_back() -> None:
    assert not read_revision("x.py", b"revision = '1'\ndef upgrade(): pass").reversible


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (b"def upgrade(:", "x.py is not Python"),
        (b"\x00", "x.py is not Python"),
        (b"x = 1", "no literal revision"),
        (b"revision = 1", "no literal revision"),
        (b"revision = str(1)", "revision is computed"),
        (b"revision = '2'\ndown_revision = before()", "down_revision is computed"),
    ],
)
def test_a_file_that_can_not_be_read_is_refused(source: bytes, said: str) -> None:
    with pytest.raises(PlanRefused, match=said):
        read_revision("x.py", source)


def test_twins_are_refused() -> None:
    files = {"versions/a.py": SOURCE % b"pass", "versions/b.py": SOURCE % b"pass"}
    with pytest.raises(PlanRefused, match=r"versions/a\.py and versions/b\.py are both"):
        read_revisions(Tree("alembic.ini", ".", files))


def test_merges_and_dependencies_are_read() -> None:
    source = b"revision = 'm'\ndown_revision = ('a', 'b')\ndepends_on = 'c'"
    read = read_revision("x.py", source)
    assert (read.down, read.depends) == (("a", "b"), ("c",))


def test_heads() -> None:
    assert heads_of(CHAIN) == ("003",)
    assert heads_of(FORK) == ("003", "003b")
    assert heads_of({}) == ()


def test_a_target_is_exact() -> None:
    assert resolve_target(CHAIN, "head") == "003"
    assert resolve_target(CHAIN, "002") == "002"
    assert resolve_target(FORK, "003b") == "003b"


@pytest.mark.parametrize("wanted", ["0", "00", "-1", "+1", "heads", "base", "002 ", "", "zzzz"])
def test_anything_else_is_refused(wanted: str) -> None:
    with pytest.raises(PlanRefused, match=r"unknown revision .*did you mean") as refused:
        resolve_target(CHAIN, wanted)
    assert "\n" not in str(refused.value)


def test_the_nearest_name_is_said() -> None:
    names = tree_of(revision("users"), revision("parcels", "users"))
    for wanted, near in (("parcel", "parcels"), ("usres", "users"), ("par", "parcels")):
        with pytest.raises(PlanRefused, match=f"did you mean '{near}'"):
            resolve_target(names, wanted)


def test_head_needs_one_head() -> None:
    with pytest.raises(PlanRefused, match="several heads \\(003, 003b\\)"):
        resolve_target(FORK, "head")
    with pytest.raises(PlanRefused, match="no revisions"):
        resolve_target({}, "head")


def names_of(revisions: tuple[Revision, ...]) -> list[str]:
    return [r.revision for r in revisions]


def test_what_has_to_run() -> None:
    assert names_of(select_revisions(CHAIN, None, "003")) == ["001", "002", "003"]
    assert names_of(select_revisions(CHAIN, "001", "003")) == ["002", "003"]
    assert names_of(select_revisions(CHAIN, "002", "002")) == []


@pytest.mark.parametrize(
    ("revisions", "current", "target", "said"),
    [
        (CHAIN, "003", "001", "'003', which is past '001'"),
        (CHAIN, "gone", "003", "'gone', which the tree does not have"),
        (FORK, "003", "003b", "'003b' does not build on '003'"),
        (tree_of(revision("2", "1")), None, "2", "builds on '1', which the tree does not have"),
        (tree_of(revision("1", "2"), revision("2", "1")), None, "2", "builds on itself"),
        ({**FORK, "m": revision("m", "003", "003b")}, "002", "m", "joins branches"),
        ({**CHAIN, "d": revision("d", "003", depends=("001",))}, "003", "d", "joins branches"),
    ],
)
def test_what_can_not_be_planned(
    revisions: Mapping[str, Revision], current: str | None, target: str, said: str
) -> None:
    with pytest.raises(PlanRefused, match=said):
        select_revisions(revisions, current, target)


def test_a_merge_in_the_past_does_no_harm() -> None:
    merged = {**FORK, "m": revision("m", "003", "003b"), "n": revision("n", "m")}
    assert names_of(select_revisions(merged, "m", "n")) == ["n"]
    assert {r.revision for r in history_of(merged, "n")} == set(merged)
    assert {r.revision for r in history_of(merged, "003")} == {"001", "002", "003"}


def test_the_hash_binds_content_and_nothing_else() -> None:
    same = plan(database="other", heads=("002", "x"), revisions=())
    assert plan().content_hash == same.content_hash == plan().content_hash
    others = [
        plan(current=None),
        plan(target="003"),
        plan(files={"env.py": "ab"}),
        plan(files={"env.py": "aa", "more.py": "aa"}),
        plan(rendered={"002": Rendered("SELECT 2")}),
    ]
    assert len({p.content_hash for p in [plan(), *others]}) == 6


@pytest.fixture
def on_disk(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    (folder / "versions" / "__pycache__").mkdir(parents=True)
    (folder / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s\n")
    (folder / "env.py").write_text("")
    (folder / "versions" / "001_x.py").write_bytes(SOURCE % b"pass")
    (folder / "versions" / "002_x.py").write_bytes(b"revision = '002'\ndown_revision = '001'")
    (folder / "versions" / "__pycache__" / "x.pyc").write_text("")
    (folder / "schema.sql").write_text("")
    return folder


def test_a_tree_is_what_takes_part(on_disk: Path) -> None:
    tree = read_tree(on_disk / "alembic.ini")
    assert sorted(tree.files) == [
        "alembic.ini",
        "env.py",
        "versions/001_x.py",
        "versions/002_x.py",
    ]
    assert set(read_revisions(tree)) == {"001", "002"}
    kept = tree.without_versions_but(["versions/001_x.py"])
    assert sorted(kept.files) == ["alembic.ini", "env.py", "versions/001_x.py"]


def test_a_tree_beside_its_ini(on_disk: Path, tmp_path: Path) -> None:
    ini = tmp_path / "alembic.ini"
    ini.write_text("[alembic]\nscript_location = tree\nfile_template = %%(rev)s_%%(slug)s\n")
    tree = read_tree(ini)
    assert (tree.ini, tree.scripts) == ("alembic.ini", "tree")
    assert tree.version_files() == ["tree/versions/001_x.py", "tree/versions/002_x.py"]


def test_what_lies_beside_env_py_belongs_to_the_hashes(on_disk: Path) -> None:
    before = read_tree(on_disk / "alembic.ini").hashes()
    (on_disk / "schema.sql").write_text("changed, but nobody runs it")
    assert read_tree(on_disk / "alembic.ini").hashes() == before
    for name in ("alembic.ini", "env.py", "models.py", "versions/001_x.py", "versions/data.csv"):
        with (on_disk / name).open("a") as file:
            file.write("# changed\n")
        after = read_tree(on_disk / "alembic.ini").hashes()
        assert after != before, name
        before = after


@pytest.mark.parametrize(
    ("ini", "said"),
    [
        (None, "no alembic.ini"),
        ("[alembic]\n", "needs \\[alembic\\] script_location"),
        ("nonsense", "needs \\[alembic\\] script_location"),
        ("[alembic]\nscript_location = nowhere\n", "no env.py"),
        ("[alembic]\nscript_location = .\nversion_locations = a\n", "version_locations"),
    ],
)
def test_an_unusable_tree_is_one_line(on_disk: Path, ini: str | None, said: str) -> None:
    path = on_disk / "other.ini"
    if ini is not None:
        path.write_text(ini)
    with pytest.raises(TreeUnusable, match=said) as unusable:
        read_tree(path)
    assert "\n" not in str(unusable.value)


def test_a_copy_is_named_by_content_and_mended(on_disk: Path, tmp_path: Path) -> None:
    tree = read_tree(on_disk / "alembic.ini")
    copy = publish_copy(tree, tmp_path / "plans", list)
    assert publish_copy(tree, tmp_path / "plans", list) == copy
    assert differences(copy, tree.hashes()) == []
    (copy / "env.py").write_text("print('changed')")
    (copy / "versions" / "extra.py").write_text("")
    (copy / "versions" / "001_x.py").unlink()
    assert differences(copy, tree.hashes()) == ["env.py", "versions/001_x.py", "versions/extra.py"]
    assert publish_copy(tree, tmp_path / "plans", list) == copy
    assert differences(copy, tree.hashes()) == []
    (on_disk / "env.py").write_text("changed = 1")
    assert publish_copy(read_tree(on_disk / "alembic.ini"), tmp_path / "plans", list) != copy


def test_old_copies_are_forgotten(tmp_path: Path) -> None:
    for number in range(25):
        tree = Tree("a.ini", ".", {"a.ini": str(number).encode()})
        newest = publish_copy(tree, tmp_path, list)
    assert len(list(tmp_path.iterdir())) == 20
    assert newest.exists()


def test_the_copy_of_a_run_under_way_is_never_removed(tmp_path: Path) -> None:
    tree = Tree("a.ini", ".", {"a.ini": b"of the run"})
    running = publish_copy(tree, tmp_path, list)
    for number in range(25):
        other = Tree("a.ini", ".", {"a.ini": str(number).encode()})
        publish_copy(other, tmp_path, lambda: [running.name])
    assert differences(running, tree.hashes()) == []
    (running / "a.ini").write_text("changed")
    with pytest.raises(TreeUnusable, match=f"{running.name} was changed while a run uses it"):
        publish_copy(tree, tmp_path, lambda: [running.name])
    assert running.exists()
    publish_copy(other, tmp_path, list)
    assert not running.exists()
