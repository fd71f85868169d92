"""Owns the silences that people made: in memory, and in the state database when that can be had.

What can't be read silences nothing, and what can't be written is refused: whoever believes that it
is quiet must be right. Hold the journal's lock to use it.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from shippyard.alerting.ledger import Ledger
from shippyard.alerting.silences import Silence, silenced_by
from shippyard.config.alerting import Alerting

SILENCES_MAX = 200


class TooManySilences(Exception):
    """More would be beyond anybody's sight; says what to do."""


class Hush:
    """What is silenced now."""

    def __init__(self, ledger: Ledger, config: Alerting) -> None:
        self._ledger = ledger
        self._config = config
        self._silences: list[Silence] = []

    def load(self, now: datetime) -> None:
        """Take over what was silenced before the start.

        Raises:
            LedgerUnavailable: it can't be read; until it can, nothing of it is silenced.
        """
        self._silences = list(self._ledger.silences(now))

    def covers(self, facts: Mapping[str, str], now: datetime) -> str | None:
        """Why nobody is told of what `facts` say: a silence's id, or the name of quiet hours."""
        if not self._silences and not self._config.quiet:
            return None
        config = self._config
        return silenced_by(facts, now, self._silences, config.quiet, config.timezone)

    def add(
        self, match: Mapping[str, str], why: str, by: str, now: datetime, length: timedelta
    ) -> Silence:
        """Silence what `match` fits, from now on.

        Raises:
            TooManySilences: there are as many as one can watch.
            LedgerUnavailable: it can't be kept, and is not in force.
        """
        self._silences = [each for each in self._silences if each.ends_at > now]
        if len(self._silences) >= SILENCES_MAX:
            raise TooManySilences(
                f"there are {SILENCES_MAX} silences; end some: shippyard ctl alerts unsilence ID"
            )
        made = Silence(secrets.token_hex(4), dict(match), why, by, now, now + length)
        self._ledger.put_silence(made)
        self._silences.append(made)
        return made

    def end(self, id_: str, now: datetime) -> Silence | None:
        """End a silence before its time; None when there is none of this id.

        Raises:
            LedgerUnavailable: that can't be written, and it is still in force.
        """
        found = next((each for each in self._silences if each.id == id_), None)
        if found is not None:
            self._ledger.put_silence(replace(found, ends_at=now))
            self._silences.remove(found)
        return found

    def listed(self, now: datetime) -> Sequence[dict[str, Any]]:
        """All in force, the first to end first, in JSON's terms."""
        lasting = [each for each in self._silences if each.ends_at > now]
        return [described(each) for each in sorted(lasting, key=lambda each: each.ends_at)]


def described(silence: Silence) -> dict[str, Any]:
    """A silence in JSON's terms."""
    ends, begins = silence.ends_at, silence.begins_at
    times = {"begins_at": begins.isoformat(), "ends_at": ends.isoformat()}
    return asdict(silence) | times
