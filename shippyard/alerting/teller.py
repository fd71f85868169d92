"""Owns what is told of an incident: to which routes, as which event, in which words.

It knows the configuration; time is handed in, and so is the audit's head.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from shippyard.alerting.audience import choose_addressees
from shippyard.alerting.delivery import Delivery
from shippyard.alerting.incidents import Event, Incident, Moment
from shippyard.alerting.message import compose
from shippyard.config.alerting import Alerting


class Teller:
    """Makes messages, and says for whom they are."""

    def __init__(self, config: Alerting, environment: str) -> None:
        self._config = config
        self._environment = environment
        self.audit_head: Callable[[], str | None] = lambda: None

    def addressed(
        self, incident: Incident, notice: Event | None, now: Moment
    ) -> tuple[Incident, list[Delivery]]:
        """The incident with the routes it was told to, and what they are told.

        Without a notice only those are told that were not, and should be by now.
        """
        if notice is None and not _may_be_told(incident):
            return incident, []
        chosen = choose_addressees(
            incident,
            notice,
            self._config.routes,
            environment=self._environment,
            zone=self._config.timezone,
            at=now.at,
        )
        told = tuple(dict.fromkeys((*incident.told, *(route for route, _ in chosen))))
        return replace(incident, told=told), [
            self._delivery(incident, route, event, now) for route, event in chosen
        ]

    def message(self, incident: Incident, event: Event, now: Moment) -> dict[str, Any]:
        """The document that `event` is told with."""
        return compose(
            incident,
            event,
            self._environment,
            now.at,
            runbook=f"{self._config.runbook_url}#{incident.rule}",
            audit_head=self.audit_head(),
        )

    def _delivery(self, incident: Incident, route: str, event: Event, now: Moment) -> Delivery:
        return Delivery(
            fingerprint=incident.fingerprint,
            pending_at=incident.pending_at,
            route=route,
            event=event,
            message=self.message(incident, event, now),
            created_at=now.at,
            due_at=now.at,
            due_s=now.monotonic_s,
        )


def _may_be_told(incident: Incident) -> bool:
    """Whether somebody who was not told yet should be."""
    return incident.state == "firing" and not incident.silenced_by and not incident.acked_at
