"""A webhook's URL: taken apart once, refused without being shown, and kept secret."""

from pathlib import Path

import pytest

from shippyard.alerting.routes import build_routes
from shippyard.alerting.routes.posting import UrlUnusable, parse_url
from shippyard.alerting.routes.webhook import Webhook
from shippyard.config.alerting import Alerting, Route
from shippyard.host.secrets import MASK, SecretMissing, mask


def test_an_url_is_taken_apart() -> None:
    address = parse_url("oncall", "https://ops.example:8443/hook/a?token=b#c")
    assert (address.is_tls, address.host, address.port) == (True, "ops.example", 8443)
    assert (address.path, address.authorization) == ("/hook/a?token=b", None)
    assert parse_url("oncall", "http://[::1]").path == "/"


def test_user_and_password_become_a_header() -> None:
    address = parse_url("oncall", "http://ann:p%40ssword@ops.example/")
    assert address.authorization == "Basic YW5uOnBAc3N3b3Jk"
    assert mask("p@ssword") == MASK


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ops.example/token",
        "ftp://ops.example/token",
        "https:///token",
        "https://ops.example:port/token",
        "https://[::1/token",
        "https://ops.example/token\r\nHost: x",
        "https://ops.example/a token",
        "https://ops.example/tøken",
    ],
)
def test_an_url_that_is_none_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(UrlUnusable, match=r"route 'oncall'.*give http") as refused:
        parse_url("oncall", url)
    assert "token" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_an_url_from_a_credential_is_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hook").write_text("https://ops.example/T0KEN/abcdef\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (route,) = build_routes(Alerting(routes=(Route(name="oncall", url_credential="hook"),)))
    assert isinstance(route, Webhook)
    assert route.address.path == "/T0KEN/abcdef"
    assert "T0KEN" not in repr(route)
    assert "T0KEN" not in mask("GET /T0KEN/abcdef and https://ops.example/T0KEN/abcdef")


def test_a_missing_credential_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/nowhere")
    with pytest.raises(SecretMissing, match="'hook'"):
        build_routes(Alerting(routes=(Route(name="oncall", url_credential="hook"),)))
