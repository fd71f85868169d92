"""Owns the configuration of alerting: who is told of what, when, and over which way.

Says what was written down; what a route does with it is the route's affair.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from shippyard.config.base import NAME, Environment, Model, TimeZone
from shippyard.config.calendar import DAYS, Day, EndOfDay, TimeOfDay

Severity = Literal["page", "ticket", "info"]
Kind = Literal["webhook", "alertmanager", "pagerduty", "slack", "email", "apprise"]

Matched = Literal["rule", "cluster", "database", "subject", "severity"]

WITH_URL: tuple[Kind, ...] = ("webhook", "alertmanager", "slack", "apprise")


MailAddress = Annotated[str, Field(pattern=r"^[^\s<>,@]+@[^\s<>,@]+$")]


class RuleOverride(Model):
    """What one alert rule does differently here."""

    enabled: bool = True
    for_s: float | None = Field(None, ge=0)
    severity: Severity | None = None


class Hours(Model):
    """A span of the day in which a route is told; over midnight when `to` is not after `from`."""

    days: tuple[Day, ...] = Field(DAYS, min_length=1)
    from_: TimeOfDay = Field(alias="from")
    to: EndOfDay


class Quiet(Hours):
    """A span of the week in which nobody is told of what `match` fits: patterns by field."""

    name: str = Field(pattern=NAME)
    match: dict[Matched, str] = Field(min_length=1)
    why: str = Field(min_length=1)


class Mail(Model):
    """How a route of kind `email` sends: by which server, from whom, to whom."""

    host: str = Field(min_length=1)
    port: int = Field(587, ge=1, le=65535)
    encryption: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    password_credential: str | None = None
    sender: MailAddress
    recipients: tuple[MailAddress, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _no_password_in_the_clear(self) -> "Mail":
        if self.user and self.encryption == "none":
            raise ValueError("a password is not sent without encryption; give starttls or tls")
        if bool(self.user) != bool(self.password_credential):
            raise ValueError("give user and password_credential, or neither")
        return self


class Route(Model):
    """Where incidents are sent. The URL may be a credential, because it often holds a token.

    A route hears of an incident whose severity, rule and database it names, in its environments
    and in its hours; without `hours` always.
    """

    name: str = Field(pattern=NAME)
    kind: Kind = "webhook"
    url: str | None = None
    url_credential: str | None = None
    peers: tuple[str, ...] = ()
    key_credential: str | None = None
    mail: Mail | None = None
    severities: tuple[Severity, ...] = Field(("page", "ticket"), min_length=1)
    rules: tuple[str, ...] = Field(("*",), min_length=1)
    databases: tuple[str, ...] = Field(("*",), min_length=1)
    environments: tuple[Environment, ...] = ()
    hours: tuple[Hours, ...] = ()
    timeout_s: float = Field(5.0, gt=0, le=60)
    ca_file: Path | None = None
    proxy: str | None = None
    heartbeat_url: str | None = None
    heartbeat_url_credential: str | None = None
    heartbeat_every_s: float = Field(60.0, ge=1, le=3600)

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> "Route":
        if self.url and self.url_credential:
            raise ValueError("give url or url_credential, one of the two")
        if self.kind in WITH_URL and not (self.url or self.url_credential):
            raise ValueError("give url or url_credential, one of the two")
        if self.kind == "pagerduty" and not self.key_credential:
            raise ValueError("give key_credential: the integration key of the PagerDuty service")
        if (self.kind == "email") != (self.mail is not None):
            raise ValueError("give mail = {...} with kind = 'email', and with no other")
        if self.peers and self.kind != "alertmanager":
            raise ValueError("peers are other Alertmanagers; only kind = 'alertmanager' has them")
        if self.heartbeat_url and self.heartbeat_url_credential:
            raise ValueError("give heartbeat_url or heartbeat_url_credential, one of the two")
        return self


class Alerting(Model):
    """Who is told. `retry_max_s` bounds the backoff, `attempts_max` what is tried in all."""

    routes: tuple[Route, ...] = ()
    rules: dict[str, RuleOverride] = Field(default_factory=dict)
    quiet: tuple[Quiet, ...] = ()
    timezone: TimeZone = "UTC"
    runbook_url: str = "docs/runbooks.md"
    repeat_s: float = Field(4 * 3600.0, gt=0)
    retry_max_s: float = Field(300.0, gt=0)
    attempts_max: int = Field(50, ge=1, le=10_000)
