"""Owns the checks of the place off the machine: that it answers, and whether it can be emptied."""

from collections.abc import Iterator

from shippyard.backup.offsite.age import BadKey
from shippyard.backup.offsite.objects import OffsiteFailed
from shippyard.backup.offsite.offsite import Offsite, open_offsite
from shippyard.backup.offsite.store import BadPlace
from shippyard.backup.seal import seal_of
from shippyard.host.secrets import SecretMissing
from shippyard.host.signing import KeyUnusable
from shippyard.setup.doctor.credentials import has_key
from shippyard.setup.doctor.finding import Finding, Level, Patient

CHECK = "offsite"


def elsewhere(patient: Patient) -> Iterator[Finding]:
    """Whether copies leave the machine, and stay where they are."""
    settings = patient.config.backup.offsite
    if settings is None:
        level: Level = "fail" if patient.config.environment == "production" else "warn"
        said = "nothing leaves this machine: with it every backup is lost"
        yield Finding(CHECK, "", level, said, 'write [backup.offsite] url = "s3://bucket/prefix"')
        return
    if not has_key(patient):
        said = "copies can't be told from others' before there is a signing key"
        yield Finding(CHECK, "", "warn", said, "start the daemon once, then run this again")
        return
    try:
        place = open_offsite(settings, seal_of(patient.config), patient.clock)
        try:
            yield from _asked(place)
        finally:
            place.close()
    except (BadPlace, BadKey, SecretMissing, KeyUnusable, OffsiteFailed) as error:
        yield Finding(CHECK, "", "fail", str(error), "mend backup.offsite, its keys or its network")


def _asked(place: Offsite) -> Iterator[Finding]:
    copies = place.list()
    broken = [copy for copy in copies if copy.problem]
    yield Finding(CHECK, "", "ok", f"{place.place} answers, {len(copies)} copies")
    for copy in broken:
        remedy = "it is sent again with the next round; see shippyard ctl backup copies"
        yield Finding(CHECK, copy.database, "warn", f"{copy.backup_id}: {copy.problem}", remedy)
    yield _keys(place)
    yield _lock(place)


def _keys(place: Offsite) -> Finding:
    if place.key_ids:
        return Finding(CHECK, "", "ok", f"encrypted to {', '.join(place.key_ids)}")
    said = "copies are not encrypted"
    remedy = 'age-keygen -o KEY, keep KEY off this machine, backup.offsite.recipients = ["age1…"]'
    return Finding(CHECK, "", "warn", said, remedy)


def _lock(place: Offsite) -> Finding:
    protection = place.protection()
    if protection.state == "proven":
        return Finding(CHECK, "", "ok", protection.detail)
    said = f"who has our keys may be able to delete every copy: {protection.detail}"
    remedy = "turn on versioning and a default retention (object lock) for the bucket"
    return Finding(CHECK, "", "warn", said, remedy)
