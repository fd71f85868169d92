"""Owns the configuration of migrations: where the tree is, and the policy under which it may run.

What is not set depends on the environment: production asks for an approval, and watches.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from shippyard.config.base import Environment, Model

BY_ENVIRONMENT: Mapping[Environment, Mapping[str, Any]] = {
    "staging": {"rehearsal": True},
    "production": {"rehearsal": True, "approvals": 1, "watch_s": 60.0},
}
"""What holds in an environment where the file does not say otherwise."""


class Migration(Model):
    """The migrations tree and the policy under which it may change a database.

    A lock is asked for between `lock_timeout_min_ms` and `lock_timeout_ms`, by how long others'
    transactions take. A statement for which others wait longer than `watchdog_ms` is cancelled,
    unless its rehearsal measured more.
    `rehearsal` asks for one of the same plan, not older than `rehearsal_max_age_s`; after its
    restore one may take `rehearsal_timeout_s`. `staging_keys` are public keys of daemons whose word
    counts that the same content ran there, for `staging_max_age_s`. `disk_factor` times the disk
    that the rehearsal took must be free. `approvals` asks for as many people beside the one who
    runs it. After a run health is watched for `watch_s`; one that did damage is taken back by
    itself with `rollback_when_damaged`. `runner_socket` is where systemd starts runners as another
    user.
    """

    alembic_ini: Path
    lock_timeout_ms: int = Field(200, ge=10, le=60_000)
    lock_timeout_min_ms: int = Field(50, ge=10, le=500)
    watchdog_ms: float = Field(300.0, ge=50, le=60_000)
    statement_timeout_s: float = Field(3600.0, gt=0)
    lock_attempts: int = Field(30, ge=1, le=1000)
    retry_pause_s: float = Field(1.0, gt=0, le=60)
    timeout_s: float = Field(6 * 3600.0, gt=0)
    backup_before: bool = True
    backup_max_age_s: float = Field(26 * 3600.0, gt=0)
    long_transaction_s: float = Field(60.0, gt=0)
    unknown_blocks: bool = True
    rehearsal: bool = False
    rehearsal_max_age_s: float = Field(48 * 3600.0, gt=0)
    rehearsal_timeout_s: float = Field(3600.0, gt=0)
    staging_keys: tuple[str, ...] = ()
    staging_max_age_s: float = Field(7 * 86400.0, gt=0)
    disk_factor: float = Field(2.0, ge=1, le=10)
    approvals: int = Field(0, ge=0, le=10)
    approval_max_age_s: float = Field(72 * 3600.0, gt=0)
    watch_s: float = Field(0.0, ge=0, le=3600)
    rollback_when_damaged: bool = False
    squawk: bool = True
    runner_socket: Path | None = None
