"""What `ctl backup verify` claims to have proved."""

from typing import Any

import pytest

from shippyard.cli.ctl.backup import _draw_verified


def answer(kind: str, **changes: Any) -> dict[str, Any]:
    found = {"id": f"20260304T050607Z-{kind}-1a2b3c", "ok": True, "problems": [], "elapsed_s": 1.5}
    return found | changes


@pytest.mark.parametrize(
    ("kind", "proof"),
    [("dump", "hash and full decode agree"), ("schema", "hash and end mark agree")],
)
def test_each_kind_says_what_was_looked_at(
    kind: str, proof: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _draw_verified(answer(kind))
    assert capsys.readouterr().out == f"20260304T050607Z-{kind}-1a2b3c: {proof} (1.5 s)\n"


def test_damage_is_told_and_no_proof(capsys: pytest.CaptureFixture[str]) -> None:
    _draw_verified(answer("schema", ok=False, problems=["schema.sql: the end is missing"]))
    assert capsys.readouterr().out == "! schema.sql: the end is missing\n"
