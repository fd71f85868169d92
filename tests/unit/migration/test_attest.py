"""Another environment's word: what counts, and everything that does not."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from shippyard.host.signing import Signer, signer_in
from shippyard.migration.attest import (
    BYTES_MAX,
    HOLDS_FOR,
    Here,
    Record,
    Word,
    WordRefused,
    read_word,
    signed,
)
from shippyard.migration.attestations import Attestations, here_of
from shippyard.migration.audit import Audit
from shippyard.migration.journal import Journal
from shippyard.state.database import State
from shippyard.state.tables import attestations as table
from tests.conftest import FakeClock

NOW = FakeClock().now()
RAN = Record(
    content_hash="c" * 64,
    environment="staging",
    database="shippyar",
    from_revision="001",
    to_revision="002",
    run_id="20261123T031500Z-shippyar-1f2e3d4c",
    finished_at=NOW - timedelta(hours=1),
    expires_at=NOW - timedelta(hours=1) + HOLDS_FOR,
    data_bytes=4096,
    rehearsal_hash=None,
)


@pytest.fixture
def staging(tmp_path: Path) -> Signer:
    return signer_in(tmp_path / "staging")


@pytest.fixture
def here(tmp_path: Path, staging: Signer) -> Here:
    own = signer_in(tmp_path / "production")
    return here_of("production", frozenset({"shippyar"}), own, (staging.public_key,))


def carried(word: Word, **changes: Any) -> bytes:
    """A word's file with other things in it."""
    return json.dumps({**word.envelope, **changes}).encode()


def test_a_word_of_a_configured_key_is_read_as_it_was_said(staging: Signer, here: Here) -> None:
    word = read_word(signed(RAN, staging).to_bytes(), here, NOW)
    assert word.record == RAN
    assert word.attested.key_id == staging.key_id


@pytest.mark.parametrize("name", sorted(RAN.document()))
def test_no_field_can_be_changed_afterwards(name: str, staging: Signer, here: Here) -> None:
    word = signed(RAN, staging)
    other = {"data_bytes": 5, "environment": "testing", "finished_at": NOW.isoformat()}
    other |= {"expires_at": (RAN.expires_at - timedelta(days=1)).isoformat()}
    changed = {**RAN.document(), name: other.get(name, "other")}
    with pytest.raises(WordRefused, match="forged or changed"):
        read_word(carried(word, record=changed), here, NOW)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"environment": "production"}, "which is this environment"),
        ({"database": "orders"}, "not guarded here"),
        ({"database": "shippyar\n"}, "no text"),
        ({"environment": "moon"}, "no environment"),
        ({"finished_at": NOW + timedelta(hours=1)}, "yet to come"),
        ({"expires_at": NOW}, "expired"),
        ({"expires_at": RAN.finished_at + timedelta(days=400)}, "longer than 30 days"),
        ({"data_bytes": -1}, "no size"),
        ({"data_bytes": True}, "no size"),
        ({"content_hash": ""}, "no text"),
        ({"run_id": "x" * 300}, "no text"),
    ],
)
def test_what_is_well_signed_is_refused_where_it_does_not_belong(
    changes: dict[str, Any], said: str, staging: Signer, here: Here
) -> None:
    with pytest.raises(WordRefused, match=said) as refused:
        read_word(signed(replace(RAN, **changes), staging).to_bytes(), here, NOW)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda word: b"",
        lambda word: b"[]",
        lambda word: b"\xff\xfe",
        lambda word: b"[" * 5000,
        lambda word: b'{"format": 1}',
        lambda word: carried(word, format=2),
        lambda word: carried(word, record={}),
        lambda word: carried(word, record=[]),
        lambda word: carried(word, signature=None),
        lambda word: carried(word, signature="?"),
        lambda word: carried(word, public_key="AAAA"),
        lambda word: carried(word, more=1),
        lambda word: carried(word, record={**RAN.document(), "finished_at": "2026"}),
        lambda word: carried(word, record={**RAN.document(), "finished_at": 7}),
        lambda word: word.to_bytes() + b" " * BYTES_MAX,
    ],
)
def test_what_is_no_word_is_refused_in_one_line(
    make: Callable[[Word], bytes], staging: Signer, here: Here
) -> None:
    with pytest.raises(WordRefused) as refused:
        read_word(make(signed(RAN, staging)), here, NOW)
    assert "\n" not in str(refused.value)


def test_a_key_that_is_not_configured_is_named_with_what_to_configure(
    tmp_path: Path, here: Here
) -> None:
    stranger = signer_in(tmp_path / "stranger")
    with pytest.raises(WordRefused, match="staging_keys") as refused:
        read_word(signed(RAN, stranger).to_bytes(), here, NOW)
    assert stranger.public_key in str(refused.value)


def test_a_signature_for_another_purpose_is_none(staging: Signer, here: Here) -> None:
    canonical = json.dumps(RAN.document(), sort_keys=True, separators=(",", ":")).encode()
    bare = staging.sign(canonical).signature
    with pytest.raises(WordRefused, match="forged"):
        read_word(carried(signed(RAN, staging), signature=bare), here, NOW)


def test_no_daemon_believes_itself(tmp_path: Path, staging: Signer) -> None:
    own = signer_in(tmp_path / "production")
    here = here_of("production", frozenset({"shippyar"}), own, (own.public_key,))
    with pytest.raises(WordRefused):
        read_word(signed(RAN, own).to_bytes(), here, NOW)


@pytest.fixture
def kept(tmp_path: Path, state: State, clock: FakeClock, here: Here) -> Attestations:
    own, audit = signer_in(tmp_path / "production"), Audit(state, clock)
    return Attestations(state, clock, audit, Journal(state, clock), own, here)


def test_a_word_counts_for_its_database_and_taking_it_twice_is_once(
    kept: Attestations, staging: Signer
) -> None:
    for _ in range(2):
        word = kept.import_(signed(RAN, staging).to_bytes(), "ana")
    assert kept.attested("shippyar") == (word.attested,)
    assert kept.attested("orders") == ()
    assert [entry.action for entry in kept.audit.entries()] == ["attest.imported"]


def test_what_is_changed_in_the_state_and_a_key_taken_away_count_for_nothing(
    kept: Attestations, state: State, staging: Signer
) -> None:
    word = kept.import_(signed(RAN, staging).to_bytes(), "ana")
    without = replace(kept, here=replace(kept.here, trusted=frozenset()))
    assert without.attested("shippyar") == ()
    forged = {**word.envelope, "record": {**RAN.document(), "content_hash": "d" * 64}}
    with state.write() as connection:
        connection.execute(update(table).values(content_hash="d" * 64, envelope=forged))
    assert kept.attested("shippyar") == ()
