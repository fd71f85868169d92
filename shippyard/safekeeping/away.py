"""Owns joining what is kept off the machine: copies of backups, and the daemon's own memory."""

from shippyard.backup.clockwatch import Clockwatch
from shippyard.backup.offsite.copies import Copies
from shippyard.backup.offsite.offsite import Offsite, open_offsite
from shippyard.backup.offsite.place import Place
from shippyard.backup.offsite.service import OffsiteCopies
from shippyard.backup.seal import Seal
from shippyard.backup.service import BackupService
from shippyard.backup.state_snapshot import StateSnapshots
from shippyard.safekeeping.ground import Ground
from shippyard.state.database import FILE_NAME
from shippyard.state.notes import Notes


class Reached:
    """A place off the machine, let go of when everything that uses it has stopped."""

    def __init__(self, offsite: Offsite) -> None:
        self._offsite = offsite

    def start(self) -> None:
        """Nothing to do: it is asked when it is needed."""

    def stop(self) -> None:
        """End what still runs there."""
        self._offsite.close()


def offsite_of(ground: Ground, seal: Seal) -> Offsite | None:
    """A line to the place off the machine; None where none is configured.

    Raises:
        SecretMissing, BadPlace, BadKey: a credential, the place or a key can't be used.
    """
    settings = ground.config.backup.offsite
    return open_offsite(settings, seal, ground.clock) if settings else None


def copies_of(
    ground: Ground, offsite: Offsite, backups: BackupService, seal: Seal
) -> OffsiteCopies:
    """What copies backups to the place and keeps watch over the copies."""
    settings = ground.config.backup.offsite
    assert settings is not None, "there is a place only when config names one"
    beat = ground.beats("copies off the machine")
    copies = Copies(ground.state, offsite.place)
    place = Place(
        offsite,
        copies,
        backups,
        settings.keep,
        clock=ground.clock,
        look_at_clock=Clockwatch(Notes(ground.state)).look,
        beat=beat,
    )
    return OffsiteCopies(
        offsite,
        place,
        copies,
        backups,
        seal=seal,
        metrics=ground.metrics,
        clock=ground.clock,
        tell=ground.tell,
        beat=beat,
    )


def snapshots_of(ground: Ground, offsite: Offsite | None) -> StateSnapshots:
    """What keeps the daemon's own memory, here and off the machine."""
    return StateSnapshots(
        ground.config.daemon.state_dir / FILE_NAME,
        ground.config.backup.dir,
        clock=ground.clock,
        metrics=ground.metrics,
        off_machine=(lambda: offsite.states) if offsite else None,
    )
