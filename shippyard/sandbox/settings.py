"""Owns what a sandbox's server is told, and what it says differs from production. Pure.

Nothing of production's files is read: its settings are given, and a few that do no harm are taken.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

HBA = "# Only the owner of the socket's folder comes this far.\nlocal all all trust\n"
PRELOAD = "shared_preload_libraries"
COUNTER = "pg_stat_statements"
"""Counts rows of what runs in a sandbox, also where production does without."""

QUIET = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "ssl": "off",
    "archive_mode": "off",
    "hot_standby": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    # No slots are kept, but replay notes how far a subscription was, and needs room for that.
    "max_replication_slots": "100",
    "session_preload_libraries": "",
    "local_preload_libraries": "",
    "autovacuum": "off",
    "cluster_name": "shippyard sandbox",
    "restart_after_crash": "off",
}
SCRATCH = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_init_zero": "off",
    "wal_recycle": "off",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "30min",
    "maintenance_work_mem": "128MB",
    "huge_pages": "off",
    "jit": "off",
    # In files of the data folder: it is all gone with the folder, whatever ended the server.
    "dynamic_shared_memory_type": "mmap",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_line_prefix": "",
    "log_min_messages": "warning",
    "log_timezone": "UTC",
    "lc_messages": "C",
}
SINCE = {
    17: {"event_triggers": "off"},
    18: {"io_method": "worker", "max_active_replication_origins": "100"},
}
"""Told from this major version on: a login trigger would run what production wrote."""

HARMLESS = frozenset(
    {
        "DateStyle",
        "IntervalStyle",
        "TimeZone",
        "array_nulls",
        "backslash_quote",
        "bytea_output",
        "default_text_search_config",
        "default_toast_compression",
        "escape_string_warning",
        "extra_float_digits",
        "lc_monetary",
        "lc_numeric",
        "lc_time",
        "max_locks_per_transaction",
        "max_pred_locks_per_transaction",
        "max_prepared_transactions",
        "quote_all_identifiers",
        "standard_conforming_strings",
        "timezone_abbreviations",
        "track_commit_timestamp",
        "transform_null_equals",
        "xmlbinary",
        "xmloption",
    }
)
"""Settings of production that change how data reads or whether it fits, and reach nowhere."""

RECOVERY = re.compile(r"recovery_target(_[a-z]+)?|restore_command|recovery_prefetch|hot_standby")
FROM_CONTROL = {
    "max_connections setting": "max_connections",
    "max_worker_processes setting": "max_worker_processes",
    "max_prepared_xacts setting": "max_prepared_transactions",
    "max_locks_per_xact setting": "max_locks_per_transaction",
    "track_commit_timestamp setting": "track_commit_timestamp",
}
"""What a restored cluster was written with and needs again, as pg_controldata calls it."""

ALWAYS_DIFFERS = (
    "nothing outside the sandbox can be reached: no network, no subscription, no archiving",
    "replication slots are not kept, and event triggers of PostgreSQL 17 and later don't fire",
    "fsync and autovacuum are off",
)


@dataclass(frozen=True)
class Told:
    """The server's configuration file, and what differs from production, one line each."""

    text: str
    differs: tuple[str, ...]


@dataclass(frozen=True)
class Given:
    """What a sandbox's configuration is made of.

    `production` are its settings by name, `control` those in the cluster's control file,
    `recovery` how it comes up. `libraries` are those that are there and may be loaded.
    """

    major: int
    socket_dir: Path
    shared_buffers: str
    libraries: Collection[str]
    production: Mapping[str, str]
    control: Mapping[str, str]
    recovery: Mapping[str, str]


def told(given: Given) -> Told:
    """What the server is told.

    Raises:
        ValueError: a recovery setting that could reach out.
    """
    refused = sorted(
        n for n, value in given.recovery.items() if value and not RECOVERY.fullmatch(n)
    )
    if refused:
        raise ValueError(f"{refused[0]} is not for a sandbox: it could reach out")
    wanted = _libraries(given.production.get(PRELOAD, ""))
    loaded = [name for name in dict.fromkeys((*wanted, COUNTER)) if name in given.libraries]
    harmless = {name: given.production[name] for name in HARMLESS & given.production.keys()}
    settings = {
        **SCRATCH,
        **harmless,
        **given.control,
        **QUIET,
        **_since(given.major),
        PRELOAD: ",".join(loaded),
        "shared_buffers": given.shared_buffers,
        "unix_socket_directories": str(given.socket_dir),
        **given.recovery,
    }
    text = "".join(f"{name} = {quoted(value)}\n" for name, value in settings.items())
    return Told(text, (*ALWAYS_DIFFERS, *_differences(given, set(wanted) - set(loaded))))


def control_settings(said: str) -> dict[str, str]:
    """Settings that pg_controldata names in what it said."""
    pairs = (line.partition(":") for line in said.splitlines())
    return {FROM_CONTROL[key]: value.strip() for key, _, value in pairs if key in FROM_CONTROL}


def quoted(value: str) -> str:
    """A value of postgresql.conf."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _libraries(value: str) -> list[str]:
    names = (name.strip().strip('"') for name in value.split(","))
    return [name for name in names if name]


def _since(major: int) -> dict[str, str]:
    return {
        name: value
        for since, settings in SINCE.items()
        if major >= since
        for name, value in settings.items()
    }


def _differences(given: Given, not_loaded: Collection[str]) -> list[str]:
    lines = [f"preload library {name} is not loaded" for name in sorted(not_loaded)]
    if "shared_buffers" in given.production:
        was = given.production["shared_buffers"]
        lines.append(f"shared_buffers is {given.shared_buffers}, not {was}")
    known = HARMLESS | QUIET.keys() | SCRATCH.keys() | {PRELOAD, "shared_buffers"}
    left = sorted(given.production.keys() - known - given.control.keys())
    if left:
        lines.append(f"settings of production that are not taken over: {', '.join(left)}")
    return lines
