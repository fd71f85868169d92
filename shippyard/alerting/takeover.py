"""Owns which of the incidents that an earlier daemon left go on, and which are over. Pure.

Of one identity only one incident can be open: the one that this daemon has begun meanwhile, because
it could not read the others, else the newest. Of the rest people were told, so that they are ended.
"""

from collections.abc import Iterable, Mapping

from shippyard.alerting.incidents import Incident


def merged(
    opened: Mapping[str, Incident], left: Iterable[Incident]
) -> tuple[list[Incident], list[Incident]]:
    """Those of `left` that go on, and those that something newer has taken the place of.

    `opened` are this daemon's own, by fingerprint; `left` come oldest first.
    """
    newest: dict[str, Incident] = {}
    superseded: list[Incident] = []
    for incident in left:
        own = opened.get(incident.fingerprint)
        if own is not None and own.id != incident.id:
            superseded.append(incident)
            continue
        if incident.fingerprint in newest:
            superseded.append(newest[incident.fingerprint])
        newest[incident.fingerprint] = incident
    kept = [each for each in newest.values() if each.fingerprint not in opened]
    return kept, superseded
