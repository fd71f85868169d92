"""Owns e-mail: one message to all recipients over SMTP. All of one incident is one thread.

TLS is verified. The library has no deadline of its own for a whole conversation, so the connection
is cut when the time is up.
"""

import contextlib
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

from shippyard.alerting.delivery import Answer
from shippyard.alerting.routes.plain import body, title
from shippyard.alerting.routes.posting import trust_of
from shippyard.config.alerting import Mail
from shippyard.config.alerting import Route as RouteConfig
from shippyard.host.secrets import read_secret

SUBJECT_MAX_CHARS = 200
PERMANENT = 500
"""Replies from here on say that trying again will not help (RFC 5321, 4.2.1)."""


@dataclass(frozen=True)
class Email:
    """One list of recipients."""

    name: str
    timeout_s: float
    mail: Mail
    tls: ssl.SSLContext = field(repr=False)
    password: str | None = field(default=None, repr=False)

    def send(self, message: Mapping[str, Any], now: datetime) -> Answer:
        """Hand one message to the server."""
        try:
            with self._connected() as server:
                refused = server.send_message(composed(message, self.mail, now))
        except smtplib.SMTPRecipientsRefused:
            return Answer("rejected", "SMTP: no recipient was accepted")
        except smtplib.SMTPResponseException as error:
            is_permanent = error.smtp_code >= PERMANENT
            return Answer("refused" if is_permanent else "busy", f"SMTP {error.smtp_code}")
        except (OSError, smtplib.SMTPException) as error:
            return Answer("unreachable", f"SMTP: {type(error).__name__}")
        return Answer("sent", f"SMTP: taken, {len(refused)} recipients refused")

    @contextlib.contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        server = self._opened()
        ends_s = time.monotonic() + self.timeout_s
        deadline = threading.Timer(self.timeout_s, _cut, [server])
        deadline.daemon = True
        deadline.start()
        try:
            server.connect(self.mail.host, self.mail.port)
            if time.monotonic() > ends_s:
                raise TimeoutError
            if self.mail.encryption == "starttls":
                server.starttls(context=self.tls)
            if self.mail.user and self.password:
                server.login(self.mail.user, self.password)
            yield server
            with contextlib.suppress(smtplib.SMTPException, OSError):
                server.quit()
        finally:
            deadline.cancel()
            server.close()

    def _opened(self) -> smtplib.SMTP:
        """Not connected yet: a connection made here would be made before its deadline runs."""
        if self.mail.encryption == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(timeout=self.timeout_s, context=self.tls)
        else:
            server = smtplib.SMTP(timeout=self.timeout_s)
        # What certificates are held against; the library sets it only when it connects by itself.
        server._host = self.mail.host  # type: ignore[attr-defined]  # noqa: SLF001
        return server


def composed(message: Mapping[str, Any], mail: Mail, now: datetime) -> EmailMessage:
    """A message as e-mail. Line breaks in a header would be headers of somebody else's making."""
    incident = message["incident"]
    made = EmailMessage()
    made["Subject"] = " ".join(title(message).split())[:SUBJECT_MAX_CHARS]
    made["From"] = mail.sender
    made["To"] = ", ".join(mail.recipients)
    made["Date"] = format_datetime(now)
    made["Message-ID"] = f"<{message['idempotency_key']}@shippyard.invalid>"
    made["References"] = f"<{incident['id']}@shippyard.invalid>"
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(body(message))
    return made


def _cut(server: smtplib.SMTP) -> None:
    sock = server.sock
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def from_config(config: RouteConfig) -> Email:
    """The list that config describes.

    Raises:
        SecretMissing: the password's credential can't be read.
        UrlUnusable: the CA file can't be.
        ValueError: there is no `mail`; config refuses that before.
    """
    if config.mail is None:
        raise ValueError("a route of kind email has a mail table")
    credential = config.mail.password_credential
    password = read_secret(credential) if credential else None
    return Email(config.name, config.timeout_s, config.mail, trust_of(config), password)
