"""Owns sending unexpected errors to Sentry: off without a DSN, and never with a secret in them.

Local variables are not sent, and known secrets are replaced in what is: measured, each of the two
alone lets a secret through.
"""

from typing import Any

from shippyard import __version__
from shippyard.config.models import Sentry
from shippyard.host.secrets import read_secret
from shippyard.telemetry.masking import masked


def configure_sentry(config: Sentry, environment: str) -> bool:
    """Start reporting; False when no DSN is configured.

    Raises:
        SecretMissing: the DSN's credential can't be read.
    """
    if not config.dsn_credential:
        return False
    # Only here: it is memory that a daemon without a DSN can spare.
    import sentry_sdk  # noqa: PLC0415
    from sentry_sdk.integrations.stdlib import StdlibIntegration  # noqa: PLC0415

    sentry_sdk.init(
        dsn=read_secret(config.dsn_credential),
        environment=environment,
        release=f"shippyard@{__version__}",
        sample_rate=config.sample_rate,
        include_local_variables=False,
        send_default_pii=False,
        max_request_body_size="never",
        # It would put the DSN's public key and the release into every page and every child.
        trace_propagation_targets=[],
        disabled_integrations=[StdlibIntegration()],
        before_send=_scrub,
        before_breadcrumb=_scrub,
    )
    return True


def _scrub(event: Any, _: dict[str, Any]) -> Any:
    return masked(event)
