"""Backups on disk that an unknown key signed: found, told with what to do, and over when it is."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from shippyard.backup.catalog import Catalog
from shippyard.backup.conditions import RULES
from shippyard.backup.layout import Layout
from shippyard.backup.manifest import Made, Manifest, Source, Verification, write_manifest
from shippyard.backup.reconcile import reconcile
from shippyard.backup.seal import Seal, seal_of
from shippyard.backup.strangers import RULE, StrangerWatch
from shippyard.config.models import Config
from shippyard.host.signing import Signer, signer_in
from shippyard.state.database import State
from shippyard.telemetry.condition import Condition
from tests.conftest import Eventually, FakeClock

NAME = "20260304T050607Z-dump-1a2b3c"

Put = Callable[..., Path]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return a_config(tmp_path)


def a_config(folder: Path, **backup: Any) -> Config:
    login = {"user": "backup_user"}
    one = {"dbname": "d", "monitor": login, "backup": login}
    return Config.model_validate(
        {
            "environment": "testing",
            "daemon": {"state_dir": folder / "state"},
            "backup": {"dir": folder / "backups", **backup},
            "databases": [
                {"name": "shop", "criticality": "critical", **one},
                {"name": "cms", **one},
            ],
        }
    )


@pytest.fixture
def ours(tmp_path: Path) -> Signer:
    return signer_in(tmp_path / "ours")


@pytest.fixture
def theirs(tmp_path: Path) -> Signer:
    return signer_in(tmp_path / "theirs")


@pytest.fixture
def put(config: Config, clock: FakeClock) -> Put:
    """A published folder, as the key's owner left it."""

    def make(signer: Signer, subject: str = "shop", backup_id: str = NAME) -> Path:
        folder = config.backup.dir / subject / backup_id
        folder.mkdir(parents=True)
        write_manifest(folder, replace(a_manifest(clock), id=backup_id, database=subject), signer)
        return folder

    return make


def a_manifest(clock: FakeClock) -> Manifest:
    at = clock.now()
    return Manifest(
        id=NAME,
        database="shop",
        kind="dump",
        reason="schedule",
        held_by=None,
        started_at=at,
        finished_at=at,
        duration_s=1.0,
        source=Source("7", "15.18", "d", None, None, 0),
        made=Made("pg_dump (PostgreSQL) 15.18", 15, ("pg_dump",)),
        files=(),
        verification=Verification("sha256", at, 0.1),
    )


class Told:
    """What a watch says of each subject at each look."""

    def __init__(self, config: Config, state: State, seal: Seal) -> None:
        self.told: list[Condition] = []
        self.watch = StrangerWatch(config, Catalog(state), seal, tell=self.told.append)

    def look(self) -> dict[str, Condition]:
        self.told.clear()
        self.watch.look()
        assert {each.rule for each in self.told} <= {RULE}
        return {each.subject: each for each in self.told}


def seal(signer: Signer, *trusted: Signer) -> Seal:
    return Seal(signer, frozenset(each.public_key for each in (signer, *trusted)))


def test_a_lost_key_is_told_with_what_to_do(
    config: Config, state: State, ours: Signer, theirs: Signer, put: Put
) -> None:
    put(theirs)
    put(theirs, "shop", NAME.replace("dump", "schema"))
    put(ours, "cms")
    told = Told(config, state, seal(ours)).look()
    shop = told["shop"]
    assert shop.summary == (
        f"shop: 2 backups are on disk and can't be relied on: signed by key {theirs.key_id}, "
        "which is unknown here; "
        f"put the old key back as {config.daemon.state_dir}/keys/signing.key, "
        "or if you know these keys, "
        f'set backup.trusted_keys = ["{theirs.public_key}"]; then: systemctl restart shippyard'
    )
    assert (shop.severity, told["cms"].severity) == ("page", "ticket")
    assert shop.evidence["public_keys"] == [theirs.public_key]
    assert told["cms"].summary is None
    assert RULE in RULES


def test_keys_that_are_trusted_stay_in_the_setting(
    tmp_path: Path, state: State, ours: Signer, theirs: Signer, put: Put
) -> None:
    put(theirs)
    config = a_config(tmp_path, trusted_keys=["elder"], signing_key_credential="shippyard.key")
    summary = Told(config, state, seal(ours)).look()["shop"].summary
    assert summary
    assert f'["elder", "{theirs.public_key}"]' in summary
    assert "put the old key back as /etc/credstore/shippyard.key" in summary


def test_it_is_over_when_the_key_is_trusted(
    config: Config, state: State, ours: Signer, theirs: Signer, put: Put
) -> None:
    put(theirs)
    assert Told(config, state, seal(ours, theirs)).look()["shop"].summary is None
    assert Told(config, state, seal(theirs)).look()["shop"].summary is None


def test_what_is_broken_otherwise_is_somebody_elses_to_tell(
    config: Config, state: State, ours: Signer, theirs: Signer, put: Put
) -> None:
    manifest = put(theirs) / "manifest.json"
    manifest.write_text(manifest.read_text().replace("15.18", "15.19"))
    assert Told(config, state, seal(ours)).look()["shop"].summary is None


def test_a_disk_that_is_away_ends_nothing(
    config: Config, state: State, ours: Signer, theirs: Signer, put: Put
) -> None:
    put(theirs)
    told = Told(config, state, seal(ours))
    assert told.look()["shop"].summary
    config.backup.dir.rename(config.backup.dir.with_name("away"))
    assert told.look() == {}


def test_what_counts_is_not_read_again(
    config: Config, state: State, ours: Signer, put: Put, clock: FakeClock
) -> None:
    put(signer_in(config.daemon.state_dir))
    Catalog(state).adopt(a_manifest(clock))
    assert Told(config, state, seal(ours)).look()["shop"].summary is None


def test_it_looks_by_itself_and_stops_at_any_time(
    config: Config, state: State, ours: Signer, put: Put, eventually: Eventually
) -> None:
    put(ours)
    told = Told(config, state, seal(ours))
    told.watch.start()
    told.watch.start()
    eventually(lambda: len(told.told) == 1)
    told.watch.stop()
    told.watch.stop()
    Told(config, state, seal(ours)).watch.stop()


def test_what_is_not_taken_in_says_why(
    config: Config, state: State, ours: Signer, theirs: Signer, put: Put
) -> None:
    folder = put(theirs)
    with capture_logs() as logs:
        done = reconcile(Catalog(state), Layout(config.backup.dir), seal(ours))
    assert done.adopted == ()
    (line,) = [each for each in logs if each["event"] == "backup.not_adopted"]
    assert line["path"] == str(folder)
    assert f"signed by key {theirs.key_id}, which is not trusted here" in line["reason"]
    assert f'backup.trusted_keys = ["{theirs.public_key}"]' in line["reason"]
    assert reconcile(Catalog(state), Layout(config.backup.dir), seal(ours, theirs)).adopted == (
        NAME,
    )


def test_a_key_that_is_made_is_said_once(config: Config) -> None:
    with capture_logs() as logs:
        made = seal_of(config).signer
        assert seal_of(config).signer.public_key == made.public_key
    assert [(each["event"], each["key"]) for each in logs] == [
        ("backup.signing_key_made", made.key_id)
    ]
