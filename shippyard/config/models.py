"""Owns the shape of the configuration: every setting, its unit, its default and its bounds.

Secrets never stand here, only the names of credentials that hold them.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from shippyard.config.alerting import Alerting
from shippyard.config.base import NAME, Environment, Model, TimeZone
from shippyard.config.calendar import Calendar
from shippyard.config.migration import BY_ENVIRONMENT, Migration

Role = Literal["viewer", "operator", "approver"]
Criticality = Literal["critical", "important", "normal"]


class Daemon(Model):
    """Where the daemon keeps its state and how long it may take to stop."""

    state_dir: Path
    stop_timeout_s: float = Field(10.0, gt=0, le=300)


class Log(Model):
    """What is logged and how; `auto` means colours on a terminal and JSON elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class Http(Model):
    """Where `/metrics`, `/healthz` and `/readyz` are served."""

    host: str = "127.0.0.1"
    port: int = Field(9754, ge=0, le=65535)


class Control(Model):
    """The admin socket, and which users or `@groups` may do what on it.

    `allow_root` lets uid 0 act as operator; `sudo` makes everyone uid 0, so production refuses it.
    """

    socket: Path = Path("/run/shippyard/control.sock")
    group: str | None = None
    viewers: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    approvers: tuple[str, ...] = ()
    allow_root: bool = False
    max_clients: int = Field(32, ge=1, le=1000)


class Login(Model):
    """A PostgreSQL role and where its password is: nowhere, a credential, or a passfile."""

    user: str
    password_credential: str | None = None
    passfile: Path | None = None

    @model_validator(mode="after")
    def _one_password(self) -> "Login":
        if self.password_credential and self.passfile:
            raise ValueError("give password_credential or passfile, not both")
        return self


class Database(Model):
    """One database that is guarded. `cluster` names the server it is in.

    The `ssl*` settings are libpq's, and hold for every login.

    Checks of a whole server are asked once per cluster, through its first database here.
    """

    name: str = Field(pattern=NAME)
    cluster: str = Field("main", pattern=NAME)
    host: str = "/var/run/postgresql"
    port: int = Field(5432, ge=1, le=65535)
    dbname: str
    sslmode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    sslrootcert: Path | None = None
    sslcert: Path | None = None
    sslkey: Path | None = None
    criticality: Criticality = "normal"
    monitor: Login
    backup: Login
    migrator: Login | None = None


class Keep(Model):
    """What retention keeps; a backup stays when any rule wants it."""

    days: int = Field(30, ge=1)
    daily: int = Field(7, ge=0)
    weekly: int = Field(5, ge=0)
    monthly: int = Field(12, ge=0)
    yearly: int = Field(0, ge=0)
    at_least: int = Field(2, ge=1)


class KeepByKind(Model):
    """Retention that differs for a kind of backup; what is not set follows `backup.keep`."""

    dump: Keep | None = None
    schema_: Keep | None = Field(None, alias="schema")
    base: Keep | None = None


class Dump(Model):
    """How a dump is made. `compression_level` is zstd's, `jobs` what works at once.

    `digest` says how much of the content is hashed under the dump's own snapshot: every row, a
    sample of large tables, or row counts alone. Past `digest_timeout_s` what is left is counted.
    `role_passwords` keeps password verifiers with the roles, which needs `recipients` (age public
    keys): that file is then encrypted.
    """

    compression_level: int = Field(3, ge=1, le=19)
    jobs: int = Field(2, ge=1, le=64)
    format: Literal["auto", "custom", "directory"] = "auto"
    digest: Literal["all", "sampled", "counts"] = "all"
    digest_sample_rows: int = Field(100_000, ge=1)
    digest_timeout_s: float = Field(1800.0, gt=0)
    snapshot_max_s: float = Field(6 * 3600.0, gt=0)
    role_passwords: bool = False
    recipients: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _passwords_are_encrypted(self) -> "Dump":
        if self.role_passwords and not self.recipients:
            raise ValueError("role_passwords needs recipients: verifiers are only kept encrypted")
        return self


class ClusterBackup(Model):
    """Base backups and WAL of one cluster, by its name in `databases`.

    `engine` makes base backups; another one than ours knows the server as `stanza`, and is run as
    `engine_program` (its usual name when not set) with `engine_config`. `wal` says how WAL
    arrives: `stream` by `shippyard wal receive`, `archive` by archive_command and `shippyard wal
    push`. `replication` is the role with the
    REPLICATION attribute. `canary` may write one row to the cluster's first database, by which
    drills measure what would be lost. `synchronous` asks for no loss at all; it needs a second
    receiver, `second_receiver`, on another host.
    """

    engine: Literal["postgres", "pgbackrest", "barman"] = "postgres"
    wal: Literal["off", "stream", "archive"] = "off"
    replication: Login | None = None
    canary: Login | None = None
    slot: str = Field("shippyard", pattern=r"^[a-z0-9_]{1,63}$")
    spool: Path = Path("/var/spool/shippyard")
    slot_reserve_ratio: float = Field(0.1, gt=0, lt=1)
    drop_slot: bool = True
    synchronous: bool = False
    second_receiver: str | None = None
    stanza: str | None = None
    engine_config: Path | None = None
    engine_program: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> "ClusterBackup":
        if self.wal == "stream" and self.replication is None:
            raise ValueError('wal = "stream" needs replication = { user = ... }')
        if self.synchronous and self.second_receiver is None:
            raise ValueError(
                "synchronous needs second_receiver, on another host: with one receiver stopped "
                "every commit would hang"
            )
        if self.engine != "postgres" and self.stanza is None:
            raise ValueError(
                f"engine {self.engine!r} needs stanza, the name it knows the server by"
            )
        return self


class Offsite(Model):
    """Copies off the machine, by URL: s3://bucket/prefix, gs://…, az://… or a path.

    `recipients` are age public keys: with any, what leaves the machine is encrypted. `identity`
    names the credential with the private key, which only restoring needs.
    """

    url: str
    endpoint: str | None = None
    region: str = "us-east-1"
    allow_http: bool = False
    access_key_credential: str | None = None
    secret_key_credential: str | None = None
    recipients: tuple[str, ...] = ()
    identity_credential: str | None = None
    part_bytes: int = Field(16 * 1024 * 1024, ge=64 * 1024, le=1024 * 1024 * 1024)
    timeout_s: float = Field(60.0, gt=0, le=3600)
    retry_max: int = Field(5, ge=0, le=100)
    keep: Keep = Keep()


class Sandbox(Model):
    """Scratch clusters in which backups are restored: where they are, and what they may take.

    `preload_libraries` may be loaded there; others of production's are left out and reported.
    """

    dir: Path | None = None
    shared_buffers: str = "128MB"
    preload_libraries: tuple[str, ...] = ("pg_stat_statements", "auto_explain")
    nice: int = Field(10, ge=0, le=19)
    disk_budget_bytes: int | None = Field(None, ge=1)
    start_timeout_s: float = Field(3600.0, gt=0)


class Drill(Model):
    """When backups are restored to prove that they can be. `amcheck` also reads every index."""

    schedule: str = ""
    timeout_s: float = Field(6 * 3600.0, gt=0)
    random_older: bool = True
    amcheck: bool = True
    keep_reports: int = Field(400, ge=1)


class Backup(Model):
    """Where backups go, when they are taken and how long they may take.

    Schedules are five-field crontab lines with weekdays by name; "" turns one off. `clusters` says
    which servers have base backups and WAL kept. Manifests are signed: by the Ed25519 key in
    `signing_key_credential`, else by one made at first start; `trusted_keys` are public ones of
    other machines whose backups may be restored here.
    """

    dir: Path
    timezone: TimeZone = "UTC"
    dump_schedule: str = "15 2 * * *"
    schema_schedule: str = "5 2 * * *"
    base_schedule: str = "15 1 * * sun"
    incremental_schedule: str = ""
    prune_schedule: str = "45 3 * * *"
    timeout_s: float = Field(6 * 3600.0, gt=0)
    lock_wait_timeout_s: float = Field(5.0, gt=0, le=300)
    wal_ship_s: float = Field(60.0, ge=1, le=3600)
    wal_scan_s: float = Field(120.0, ge=1, le=3600)
    signing_key_credential: str | None = None
    trusted_keys: tuple[str, ...] = ()
    keep: Keep = Keep()
    keep_by_kind: KeepByKind = KeepByKind()
    dump: Dump = Dump()
    clusters: dict[str, ClusterBackup] = Field(default_factory=dict)
    offsite: Offsite | None = None
    sandbox: Sandbox = Sandbox()
    drill: Drill = Drill()


class CheckOverride(Model):
    """What one check does differently here."""

    enabled: bool = True
    every_s: float | None = Field(None, ge=0.2, le=86400)
    timeout_s: float | None = Field(None, gt=0, le=60)
    params: dict[str, float] = Field(default_factory=dict)


class Health(Model):
    """How databases are polled. `checks_dir` holds the operator's own checks.

    With reach `all` the clusters' other databases are visited too: those that a pattern of
    `include` fits and none of `exclude`. Checks show `series_max` series in all.
    """

    checks_dir: Path | None = None
    reach: Literal["configured", "all"] = "configured"
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    series_max: int = Field(3000, ge=100, le=50_000)
    connect_timeout_s: float = Field(3.0, ge=2, le=9)
    reconnect_max_s: float = Field(15.0, gt=0, le=600)
    checks: dict[str, CheckOverride] = Field(default_factory=dict)


class Access(Model):
    """Roles that `shippyard bootstrap` makes beside the daemon's own logins, and what they may see.

    `owner` and `admin` never log in: the first owns everything in `schemas`, the second is the
    group of the back office. The monitor reads sequences, and tables of `monitor_schemas` only.
    `restores` lets the migrator make databases. `others` are roles whose rights are somebody
    else's business.
    """

    owner: str = "shippyar_owner"
    app: Login = Login(user="shippyar_app")
    admin: str = "shippyar_admin"
    analytics: Login = Login(user="analytics_ro")
    signal: Login = Login(user="shippyard_signal")
    schemas: tuple[str, ...] = ("public",)
    monitor_schemas: tuple[str, ...] = ()
    analytics_timeout_s: float = Field(300.0, gt=0)
    analytics_idle_s: float = Field(60.0, gt=0)
    restores: bool = False
    others: tuple[str, ...] = ()


class Sentry(Model):
    """Errors to Sentry; off while `dsn_credential` is not set."""

    dsn_credential: str | None = None
    sample_rate: float = Field(1.0, ge=0, le=1)


class Config(Model):
    """Everything the daemon is told."""

    environment: Environment
    daemon: Daemon
    log: Log = Log()
    http: Http = Http()
    control: Control = Control()
    databases: tuple[Database, ...] = Field(min_length=1)
    backup: Backup
    health: Health = Health()
    alerting: Alerting = Alerting()
    migration: Migration | None = None
    calendar: Calendar = Calendar()
    access: Access = Access()
    sentry: Sentry = Sentry()
    tools_dirs: tuple[Path, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _as_the_environment_has_it(cls, given: Any) -> Any:
        if not isinstance(given, dict) or not isinstance(given.get("migration"), dict):
            return given
        usual = BY_ENVIRONMENT.get(given.get("environment", ""), {})
        return {**given, "migration": {**usual, **given["migration"]}}

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        _refuse_twins("database", [database.name for database in self.databases])
        _refuse_twins("route", [route.name for route in self.alerting.routes])
        _refuse_twins("window", [window.name for window in self.calendar.windows])
        _refuse_twins("freeze", [freeze.name for freeze in self.calendar.freezes])
        _refuse_mixed_clusters(self.databases)
        _refuse_unknown_clusters(self)
        _refuse_shared_spools(self.backup.clusters)
        if self.environment == "production":
            _refuse_loose_production(self)
        return self

    def database(self, name: str) -> Database | None:
        """The database called `name`, or None."""
        return next((d for d in self.databases if d.name == name), None)


def _refuse_twins(what: str, names: list[str]) -> None:
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise ValueError(f"two {what}s are called {twins[0]!r}; give each a name of its own")


def _refuse_mixed_clusters(databases: tuple[Database, ...]) -> None:
    """One cluster is one server: another one under its name would never be checked."""
    firsts: dict[str, Database] = {}
    for database in databases:
        first = firsts.setdefault(database.cluster, database)
        if (first.host, first.port) != (database.host, database.port):
            raise ValueError(
                f"databases {first.name!r} and {database.name!r} are both in cluster "
                f"{database.cluster!r} but on different servers ({first.host}:{first.port} and "
                f"{database.host}:{database.port}); give one of them a cluster of its own"
            )


def _refuse_unknown_clusters(config: Config) -> None:
    known = sorted({database.cluster for database in config.databases})
    for name in config.backup.clusters:
        if name not in known:
            raise ValueError(
                f"backup.clusters.{name}: no database is in a cluster {name!r}; "
                f"there is {', '.join(known)}"
            )


def _refuse_shared_spools(clusters: dict[str, ClusterBackup]) -> None:
    """Segments of two servers have the same names."""
    owners: dict[Path, str] = {}
    for name, cluster in clusters.items():
        if cluster.wal == "archive" and (first := owners.setdefault(cluster.spool, name)) != name:
            raise ValueError(
                f"backup.clusters.{first} and .{name} both push WAL into {cluster.spool}; "
                "give one of them a spool of its own"
            )


def _refuse_loose_production(config: Config) -> None:
    if config.control.allow_root:
        raise ValueError("control.allow_root is not for production: sudo makes everyone uid 0")
    if config.migration and not config.migration.backup_before:
        raise ValueError("migration.backup_before can't be turned off in production")
    if config.migration and not config.migration.unknown_blocks:
        raise ValueError("migration.unknown_blocks can't be turned off in production")
