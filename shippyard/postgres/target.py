"""Owns how to reach one database as one role: for psycopg, and for PostgreSQL's own programs.

A password travels by environment or passfile, never in an argument or a URL.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shippyard.config.models import Database, Login
from shippyard.host.secrets import read_secret


@dataclass(frozen=True)
class Target:
    """One database, one role. `password` never shows in `repr`."""

    host: str
    port: int
    dbname: str
    user: str
    sslmode: str = "prefer"
    passfile: Path | None = None
    password: str | None = field(default=None, repr=False)
    sslrootcert: Path | None = None
    sslcert: Path | None = None
    sslkey: Path | None = None

    def conninfo(self) -> dict[str, Any]:
        """Keyword arguments for libpq."""
        info: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "dbname": self.dbname,
            "user": self.user,
            "sslmode": self.sslmode,
        }
        if self.password:
            info["password"] = self.password
        return info | self._files()

    def arguments(self) -> list[str]:
        """Arguments for pg_dump and its siblings; they never ask for a password."""
        return [
            f"--host={self.host}",
            f"--port={self.port}",
            f"--username={self.user}",
            f"--dbname={self.dbname}",
            "--no-password",
        ]

    def environment(self) -> dict[str, str]:
        """What libpq programs need beside the arguments."""
        env = {"PGSSLMODE": self.sslmode, "PGCONNECT_TIMEOUT": "10"}
        if self.password:
            env["PGPASSWORD"] = self.password
        return env | {f"PG{name.upper()}": path for name, path in self._files().items()}

    def _files(self) -> dict[str, str]:
        """The files that are set, by libpq's name; its variable is that name in capitals."""
        files = {
            "passfile": self.passfile,
            "sslrootcert": self.sslrootcert,
            "sslcert": self.sslcert,
            "sslkey": self.sslkey,
        }
        return {name: str(path) for name, path in files.items() if path}

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}/{self.dbname}"


def target_of(database: Database, login: Login) -> Target:
    """Where `login` reaches `database`.

    Raises:
        SecretMissing: the password's credential can't be read.
    """
    secret = read_secret(login.password_credential) if login.password_credential else None
    return Target(
        host=database.host,
        port=database.port,
        dbname=database.dbname,
        user=login.user,
        sslmode=database.sslmode,
        passfile=login.passfile,
        password=secret,
        sslrootcert=database.sslrootcert,
        sslcert=database.sslcert,
        sslkey=database.sslkey,
    )
