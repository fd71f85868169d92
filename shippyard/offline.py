"""Owns building what a restore needs when there is no daemon, no state and perhaps no config.

Everything is read from the folder or store itself. A key of this machine is used when it is there
and never made: what is trusted is said by the person who restores.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from shippyard.backup.engines.choice import repository_for
from shippyard.backup.engines.repository import Repository
from shippyard.backup.offsite.age import BadKey
from shippyard.backup.offsite.objects import OffsiteFailed
from shippyard.backup.offsite.offsite import open_offsite
from shippyard.backup.offsite.store import BadPlace, open_store
from shippyard.backup.restore.course import Means
from shippyard.backup.restore.service import Restores
from shippyard.backup.restore.shelf import FolderShelf, Shelf, trusted_by_id
from shippyard.backup.restore.stores import StoreShelf, store_keys_by_id
from shippyard.backup.seal import Seal
from shippyard.config.loading import ConfigError, load_config
from shippyard.config.models import Config, Offsite
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.host.secrets import SecretMissing
from shippyard.host.signing import (
    KEY_FILE,
    KEYS_FOLDER,
    KeyUnusable,
    Signer,
    key_id_of,
    signer_from_credential,
    signer_in,
)
from shippyard.telemetry.condition import Condition

USUAL_CONFIG = Path("/etc/shippyard/shippyard.toml")
KEY_ID_CHARS = 16

log = structlog.get_logger(__name__)


class CannotRestore(Exception):
    """What a restore needs isn't here; one line says what to give."""


@dataclass(frozen=True)
class Asked:
    """How to restore: from where, whom to trust, with what. `config` is read when it is there."""

    place: str
    trust: Sequence[str] = ()
    config: Path | None = None
    endpoint: str | None = None
    scratch: Path | None = None
    jobs: int | None = None
    timeout_s: float | None = None


@dataclass(frozen=True)
class Offline:
    """What restores without a daemon. `notes` are for the person: what was used and what not."""

    restores: Restores
    means: Means
    notes: tuple[str, ...]


@contextmanager
def offline(asked: Asked) -> Iterator[Offline]:
    """Everything for one restore, its programs ended when the block is left.

    Raises:
        CannotRestore: the place, the configuration or a key can't be used.
    """
    config, notes = _config(asked)
    processes = Processes()
    with ExitStack() as undo:
        undo.callback(processes.end_all)
        try:
            shelf = _shelf(asked, config, undo)
        except (BadPlace, BadKey, SecretMissing, KeyUnusable, OffsiteFailed, OSError) as error:
            raise CannotRestore(str(error)) from None

        def repository_of(subject: str) -> Repository | None:
            return repository_for(subject, config, processes) if config else None

        means = Means(
            shelf=shelf,
            place=asked.place,
            processes=processes,
            clock=SystemClock(),
            jobs=asked.jobs or (config.backup.dump.jobs if config else 2),
            timeout_s=asked.timeout_s or (config.backup.timeout_s if config else 6 * 3600.0),
            tools_dirs=config.tools_dirs if config else (),
            scratch=asked.scratch,
            repository_of=repository_of,
        )
        yield Offline(Restores(means, _log_condition), means, notes)


def _config(asked: Asked) -> tuple[Config | None, tuple[str, ...]]:
    """The configuration, when one was named or the usual one can be read."""
    path = asked.config or USUAL_CONFIG
    if asked.config is None and not path.is_file():
        return None, ()
    try:
        return load_config(path), ()
    except (ConfigError, OSError) as error:
        if asked.config:
            raise CannotRestore(str(error)) from None
        return None, (f"{path} is not used: {error}",)


def _shelf(asked: Asked, config: Config | None, undo: ExitStack) -> Shelf:
    ours = trusted_here(config)
    if "://" not in asked.place:
        place = Path(asked.place)
        if not place.is_dir():
            raise CannotRestore(f"{place} is no folder; is it mounted?")
        if _is_store(place):
            return _store_shelf(asked, _folder_settings(place, config), ours, undo)
        named = trusted_by_id(place, _key_ids(asked.trust))
        return FolderShelf(place, ours | named | _whole_keys(asked.trust))
    return _store_shelf(asked, _store_settings(asked, config), ours, undo)


def _store_shelf(
    asked: Asked, settings: Offsite, ours: frozenset[str], undo: ExitStack
) -> StoreShelf:
    clock = SystemClock()
    store = open_store(settings, clock)
    undo.callback(store.close)
    ids = _key_ids(asked.trust)
    named = store_keys_by_id(store, ids) if ids else frozenset[str]()
    offsite = open_offsite(
        settings, Seal(_signer_of_nobody(), ours | named | _whole_keys(asked.trust)), clock
    )
    undo.callback(offsite.close)
    return StoreShelf(offsite)


def _store_settings(asked: Asked, config: Config | None) -> Offsite:
    """The store's settings: config's with the URL that was given, so that its credentials serve."""
    known = config.backup.offsite if config else None
    if known is None:
        return Offsite(url=asked.place, endpoint=asked.endpoint)
    changes = {"url": asked.place} | ({"endpoint": asked.endpoint} if asked.endpoint else {})
    return known.model_copy(update=changes)


def _folder_settings(place: Path, config: Config | None) -> Offsite:
    known = config.backup.offsite if config else None
    update = {"url": str(place.resolve())}
    return known.model_copy(update=update) if known else Offsite(url=update["url"])


def _is_store(place: Path) -> bool:
    """Whether a folder holds copies in parts, as a store does, and no backups as such."""
    return next(place.glob("*/*/index.json"), None) is not None


def trusted_here(config: Config | None) -> frozenset[str]:
    """The public keys that this machine trusts by itself; none is made."""
    if config is None:
        return frozenset()
    keys = set(config.backup.trusted_keys)
    folder = config.daemon.state_dir / KEYS_FOLDER
    if config.backup.signing_key_credential:
        keys.add(signer_from_credential(config.backup.signing_key_credential).public_key)
    elif (folder / KEY_FILE).is_file():
        keys.add(signer_in(folder).public_key)
    return frozenset(keys)


def _key_ids(trust: Sequence[str]) -> frozenset[str]:
    return frozenset(key for key in trust if len(key) == KEY_ID_CHARS)


def _whole_keys(trust: Sequence[str]) -> frozenset[str]:
    whole = frozenset(key for key in trust if len(key) != KEY_ID_CHARS)
    for key in whole:
        key_id_of(key)
    return whole


def _signer_of_nobody() -> Signer:
    """A key that signs nothing: reading a store asks for one."""
    with tempfile.TemporaryDirectory(prefix="shippyard-") as folder:
        return signer_in(Path(folder))


def _log_condition(condition: Condition) -> None:
    """Without a daemon nobody is paged; the log says what happened."""
    if condition.summary:
        log.warning("restore.condition", rule=condition.rule, summary=condition.summary)
