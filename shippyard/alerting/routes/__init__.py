"""Owns the list of ways to tell somebody: a new one is a file here and a line in `KINDS`."""

from collections.abc import Callable, Mapping

from shippyard.alerting.delivery import Route
from shippyard.alerting.routes import webhook
from shippyard.config.models import Alerting
from shippyard.config.models import Route as RouteConfig

KINDS: Mapping[str, Callable[[RouteConfig], Route]] = {
    "webhook": webhook.from_config,
}


def build_routes(config: Alerting) -> tuple[Route, ...]:
    """The routes that config names, in its order.

    Raises:
        SecretMissing: a route's credential can't be read.
        UrlUnusable: a route's URL is none; the message does not show it.
    """
    return tuple(KINDS[route.kind](route) for route in config.routes)
