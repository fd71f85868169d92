"""Owns the list of ways to tell somebody: a new one is a file here and a line in `KINDS`."""

from collections.abc import Callable, Mapping

from shippyard.alerting.delivery import Route
from shippyard.alerting.routes import alertmanager, apprise, email, pagerduty, slack, webhook
from shippyard.config.alerting import Alerting, Kind
from shippyard.config.alerting import Route as RouteConfig

KINDS: Mapping[Kind, Callable[[RouteConfig], Route]] = {
    "webhook": webhook.from_config,
    "alertmanager": alertmanager.from_config,
    "pagerduty": pagerduty.from_config,
    "slack": slack.from_config,
    "email": email.from_config,
    "apprise": apprise.from_config,
}


def build_routes(config: Alerting) -> tuple[Route, ...]:
    """The routes that config names, in its order.

    Raises:
        SecretMissing: a route's credential can't be read.
        UrlUnusable: a route's URL is none; the message does not show it.
    """
    return tuple(KINDS[route.kind](route) for route in config.routes)
