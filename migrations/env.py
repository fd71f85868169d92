"""Owns how revisions are run: on the daemon's connection, on one made by URL, or as SQL text.

Plain `alembic` gives no connection; then SHIPPYAR_DATABASE_URL says where. With `--sql`, and to
make a new revision, no database is needed. Each revision is a transaction of its own. Refuses to
know the daemon: plain Alembic does without it, with the package installed.
"""

import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterable
from logging.config import fileConfig
from pathlib import Path
from typing import Any

from alembic import command, context
from alembic.operations import MigrationScript
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, MetaData, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.pool import NullPool

from shippyard.migration import naming

URL_VARIABLE = "SHIPPYAR_DATABASE_URL"
DRIVER = "postgresql+psycopg"
CONNECT_TIMEOUT_S = 10

# A statement that waits for a lock makes everyone else wait behind it. The first applies where the
# URL does not say otherwise; the second ends a statement whose client has died.
SERVER_SETTINGS = "-c lock_timeout=2s -c client_connection_check_interval=1s"


def _metadata() -> MetaData:
    """The models beside this file, whatever the current folder and `sys.path` are.

    Imported once in a process for each tree: a run of many revisions comes here for each of them.
    """
    path = Path(__file__).parent / "models" / "__init__.py"
    name = f"shippyar_models_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if name not in sys.modules:
        _import(name, path)
    metadata: MetaData = sys.modules[name].Base.metadata
    return metadata


def _import(name: str, path: Path) -> None:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # declarative models look their annotations up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


config = context.config
metadata = _metadata()


def main() -> None:
    """Do what Alembic was asked, in the way the situation calls for."""
    _refuse_misnamed(ScriptDirectory.from_config(config))
    connection: Connection | None = config.attributes.get("connection")
    if context.is_offline_mode():
        _render()
    elif connection is not None:
        _run(connection)
    elif _only_makes_a_file():
        _number()
    else:
        _run_by_url()


def _run(connection: Connection) -> None:
    context.configure(connection=connection, **_options())
    with context.begin_transaction():
        context.run_migrations()


def _run_by_url() -> None:
    _log_to_console()
    url = _url()
    settings = {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "alembic"}
    if "options" not in url.query:
        settings["options"] = SERVER_SETTINGS
    engine = create_engine(url, poolclass=NullPool, connect_args=settings)
    try:
        connection = engine.connect()
    except OperationalError as error:
        raise CommandError(f"can't connect: {' '.join(str(error.orig).split())}") from None
    with connection:
        _run(connection)


def _render() -> None:
    """Write SQL instead of running it."""
    # "named" because the driver's own style would double every percent sign in the text
    context.configure(
        url=f"{DRIVER}://",
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
        **_options(),
    )
    with context.begin_transaction():
        context.run_migrations()


def _number() -> None:
    """Run nothing; Alembic calls `_give_next_number` on the way."""
    context.configure(url=f"{DRIVER}://", as_sql=True, **_options())
    context.run_migrations()


def _options() -> dict[str, Any]:
    return {
        "target_metadata": metadata,
        "transaction_per_migration": True,
        "compare_type": True,
        "compare_server_default": True,
        "process_revision_directives": _give_next_number,
    }


def _url() -> URL:
    given = os.environ.get(URL_VARIABLE, "")
    if not given:
        raise CommandError(
            f"no database to work on: set {URL_VARIABLE}, "
            "for example to postgresql://postgres@localhost/shippyar_dev"
        )
    try:
        url = make_url(given)
    except ArgumentError:
        url = URL.create("none")
    if not url.drivername.startswith("postgres"):
        raise CommandError(
            f"{URL_VARIABLE} is not usable; write it as postgresql://user@host:5432/database"
        )
    return url.set(drivername=DRIVER)


def _only_makes_a_file() -> bool:
    """True for `alembic revision` without --autogenerate."""
    asked = config.cmd_opts
    verb = getattr(asked, "cmd", (None,))[0]
    return verb is command.revision and not getattr(asked, "autogenerate", False)


def _give_next_number(
    _: MigrationContext, __: str | Iterable[str | None], directives: list[MigrationScript]
) -> None:
    taken = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    for directive in directives:
        given = directive.rev_id or ""
        if naming.GENERATED_ID.fullmatch(given):
            directive.rev_id = naming.next_number(taken)
        elif problem := naming.problem_with_id(given, taken):
            raise CommandError(problem)


def _refuse_misnamed(scripts: ScriptDirectory) -> None:
    for script in scripts.walk_revisions():
        problem = naming.problem_with_file(Path(script.path).name, script.revision, script.doc)
        if problem:
            raise CommandError(problem)


def _log_to_console() -> None:
    if config.config_file_name:
        fileConfig(config.config_file_name, disable_existing_loggers=False)


main()
