"""Owns noticing published backups that an unknown key signed, and saying so each minute.

A signing key that was lost is made anew, and then nothing that is on disk counts. What becomes of
such a backup is not decided here, and who is told is not known.
"""

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shippyard.backup.catalog import Catalog
from shippyard.backup.failures import is_critical
from shippyard.backup.layout import Layout
from shippyard.backup.manifest import ManifestUnusable, SignerUnknown, read_manifest
from shippyard.backup.model import COUNTED, subject_of_cluster
from shippyard.backup.seal import Seal
from shippyard.config.models import Config
from shippyard.host.signing import KEY_FILE, KEYS_FOLDER, key_id_of
from shippyard.postgres.session import one_line
from shippyard.telemetry.condition import Condition, Tell

EVERY_S = 60.0
JOIN_S = 3.0
RULE = "backup_untrusted"

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Stranger:
    """A published backup, and the public key that signed it and is not trusted here."""

    id: str
    public_key: str


def strangers(
    layout: Layout, subject: str, trusted: Collection[str], *, but: Collection[str] = ()
) -> list[Stranger]:
    """The backups of a subject that an unknown key signed, oldest first; not those in `but`.

    Raises:
        OSError: its folder can't be read.
    """
    found = []
    for backup_id in layout.published(subject):
        if backup_id not in but:
            try:
                read_manifest(layout.folder(subject, backup_id), trusted)
            except SignerUnknown as error:
                found.append(Stranger(backup_id, error.public_key))
            except ManifestUnusable:
                continue
    return found


def told_of(found: Sequence[Stranger]) -> str:
    """What is wrong with them, in words. There is at least one."""
    ids = ", ".join(key_id_of(key) for key in _keys(found))
    counted = "1 backup is" if len(found) == 1 else f"{len(found)} backups are"
    return f"{counted} on disk and can't be relied on: signed by key {ids}, which is unknown here"


def remedy_for(config: Config, found: Sequence[Stranger]) -> str:
    """What makes them count again."""
    keys = ", ".join(f'"{key}"' for key in (*config.backup.trusted_keys, *_keys(found)))
    return (
        f"put the old key back as {_place_of_key(config)}, or if you know these keys, "
        f"set backup.trusted_keys = [{keys}]; then: systemctl restart shippyard"
    )


def strangers_condition(config: Config, subject: str, found: Sequence[Stranger]) -> Condition:
    """Wrong while there is one; all is well when there is none."""
    severity: Literal["page", "ticket"] = "page" if is_critical(config, subject) else "ticket"
    if not found:
        return Condition(RULE, subject, None, severity)
    summary = f"{subject}: {told_of(found)}; {remedy_for(config, found)}"
    evidence = {"public_keys": _keys(found), "backups": [each.id for each in found]}
    return Condition(RULE, subject, summary, severity, evidence)


class StrangerWatch:
    """Looks at every subject of a configuration, from a thread of its own.

    Stopping twice, or before starting, is fine.
    """

    def __init__(
        self,
        config: Config,
        catalog: Catalog,
        seal: Seal,
        *,
        tell: Tell,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config
        self._catalog = catalog
        self._layout = Layout(config.backup.dir)
        self._trusted = seal.trusted
        self._tell = tell
        self._beat = beat
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        clusters = map(subject_of_cluster, config.backup.clusters)
        self._subjects = (*(database.name for database in config.databases), *clusters)

    def start(self) -> None:
        """Begin to look."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="strangers", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(JOIN_S)

    def look(self) -> None:
        """Look once. Of a folder that can't be read nothing is known, and nothing is told.

        What counts is looked at by others, and is not read again here.
        """
        counted = {backup.id for backup in self._catalog.in_states(COUNTED)}
        for subject in self._subjects:
            if self._layout.unseen(subject):
                continue
            try:
                found = strangers(self._layout, subject, self._trusted, but=counted)
            except OSError as error:
                log.warning("strangers.not_looked", subject=subject, reason=one_line(error))
                continue
            self._tell(strangers_condition(self._config, subject, found))

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._beat()
            try:
                self.look()
            except SQLAlchemyError as error:
                log.warning("strangers.not_looked", reason=one_line(error))
            self._stopping.wait(EVERY_S)


def _keys(found: Sequence[Stranger]) -> list[str]:
    return sorted({each.public_key for each in found})


def _place_of_key(config: Config) -> str:
    credential = config.backup.signing_key_credential
    if credential:
        return f"/etc/credstore/{credential}"
    return str(config.daemon.state_dir / KEYS_FOLDER / KEY_FILE)
