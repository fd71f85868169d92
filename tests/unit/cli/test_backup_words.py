"""What `ctl backup verify` claims to have proved."""

from typing import Any

import pytest

from shippyard.cli.ctl.backup import _draw_decisions, _draw_found, _draw_hold, _draw_verified


def answer(kind: str, **changes: Any) -> dict[str, Any]:
    found = {"id": f"20260304T050607Z-{kind}-1a2b3c", "ok": True, "problems": [], "elapsed_s": 1.5}
    return found | changes


@pytest.mark.parametrize(
    ("kind", "proof"),
    [
        ("dump", "hash and full decode agree"),
        ("schema", "hash and end mark agree"),
        ("base", "hash, full decode and the server's own manifest agree"),
    ],
)
def test_each_kind_says_what_was_looked_at(
    kind: str, proof: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _draw_verified(answer(kind))
    assert capsys.readouterr().out == f"20260304T050607Z-{kind}-1a2b3c: {proof} (1.5 s)\n"


def test_damage_is_told_and_no_proof(capsys: pytest.CaptureFixture[str]) -> None:
    _draw_verified(answer("schema", ok=False, problems=["schema.sql: the end is missing"]))
    assert capsys.readouterr().out == "! schema.sql: the end is missing\n"


def test_who_holds_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    _draw_hold({"id": "x", "held_by": "operator: audit"})
    _draw_hold({"id": "x", "held_by": None})
    assert capsys.readouterr().out == "x: held by operator: audit\nx: held by nobody\n"


@pytest.mark.parametrize(("applied", "word"), [(False, "would add"), (True, "added")])
def test_a_rebuild_says_what_it_would_do_or_did(
    capsys: pytest.CaptureFixture[str], word: str, *, applied: bool
) -> None:
    found = {
        "id": "x",
        "database": "one",
        "change": "added",
        "why": "",
        "state": "drilled",
        "held_by": None,
        "drilled_at": None,
    }
    _draw_found({"applied": applied, "found": [found]})
    said = capsys.readouterr().out
    assert word in said
    assert ("to do it: shippyard ctl backup rebuild --apply" in said) is not applied
    _draw_found({"applied": applied, "found": [found | {"change": "kept"}]})
    assert "--apply" not in capsys.readouterr().out


def test_frozen_retention_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    _draw_decisions({"decisions": [], "deleted": [], "frozen": "the state was lost"})
    assert capsys.readouterr().out.startswith("! the state was lost\n")
