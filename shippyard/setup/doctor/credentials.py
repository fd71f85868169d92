"""Owns the checks of secrets: each credential and file that config names, and the signing key."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from shippyard.backup.layout import Layout
from shippyard.backup.strangers import remedy_for, strangers, told_of
from shippyard.config.models import Config, Login
from shippyard.host.secrets import SecretMissing, credentials_folder, read_secret
from shippyard.host.signing import (
    KEY_FILE,
    KEYS_FOLDER,
    KeyUnusable,
    Signer,
    signer_from_credential,
    signer_in,
)
from shippyard.setup.doctor.finding import AS_THE_DAEMON, Finding, Patient

CHECK = "signing key"
CREDENTIAL = "shippyard.signing-key"
"""The name that the unit loads by itself."""


def credentials(patient: Patient) -> Iterator[Finding]:
    """Whether every secret can be read here and now; else what could not be checked for it."""
    named = named_in(patient.config)
    if named and (why := _closed(credentials_folder())):
        said = f"{why}; not checked: {', '.join(sorted(named))}, and what needs them"
        yield Finding("credential", "", "fail", said, AS_THE_DAEMON)
    else:
        for name, user in sorted(named.items()):
            yield _credential(name, user)
    for login in _logins(patient.config):
        if login.passfile:
            yield _passfile(login, login.passfile)


def signing_key(patient: Patient) -> Iterator[Finding]:
    """Whether manifests can be signed, the key survives this machine, and backups here fit it."""
    credential = patient.config.backup.signing_key_credential
    folder = patient.config.daemon.state_dir / KEYS_FOLDER
    ours: frozenset[str] = frozenset()
    try:
        if credential:
            signer = signer_from_credential(credential)
            yield _key(signer, f"credential {credential!r}")
            ours = frozenset({signer.public_key})
        elif has_key(patient):
            signer = signer_in(folder)
            yield _key(signer, str(folder / KEY_FILE))
            yield _only_here(folder / KEY_FILE)
            ours = frozenset({signer.public_key})
        else:
            yield Finding(CHECK, "", "ok", f"will be made in {folder} at the first start")
    except SecretMissing as error:
        said = f"{error}; not checked: whether backups here were signed by it"
        yield Finding(CHECK, "", "fail", said, _missing(str(credential)))
    except KeyUnusable as error:
        remedy = "put the old key back; a new one is made by: openssl rand -base64 32"
        yield Finding(CHECK, "", "fail", str(error), remedy)
    else:
        yield from _unknown_keys(patient, ours | frozenset(patient.config.backup.trusted_keys))


def has_key(patient: Patient) -> bool:
    """Whether there is a key to sign with, so that looking for it makes none."""
    config = patient.config
    named = config.backup.signing_key_credential is not None
    return named or (config.daemon.state_dir / KEYS_FOLDER / KEY_FILE).exists()


def named_in(config: Config) -> dict[str, str]:
    """Every credential that config names, and what for."""
    found = {}
    for login in _logins(config):
        if login.password_credential:
            found[login.password_credential] = login.user
    for route in config.alerting.routes:
        if route.url_credential:
            found[route.url_credential] = f"route {route.name}"
    if config.sentry.dsn_credential:
        found[config.sentry.dsn_credential] = "sentry"
    offsite = config.backup.offsite
    if offsite:
        keys = (offsite.access_key_credential, offsite.secret_key_credential)
        found |= {key: "offsite" for key in (*keys, offsite.identity_credential) if key}
    return found


def _logins(config: Config) -> Iterator[Login]:
    for database in config.databases:
        yield from (database.monitor, database.backup)
        if database.migrator:
            yield database.migrator
    for kept in config.backup.clusters.values():
        yield from (login for login in (kept.replication, kept.canary) if login)


def _closed(folder: Path | None) -> str | None:
    """Why nothing can be read from where credentials are; None when that can be tried."""
    if folder is None:
        return "no credentials are given here"
    if folder.exists() and not os.access(folder, os.R_OK | os.X_OK):
        return f"{folder} is closed to uid {os.geteuid()}"
    return None


def _credential(name: str, user: str) -> Finding:
    try:
        read_secret(name)
    except SecretMissing as error:
        return Finding("credential", user, "fail", str(error), _missing(name))
    return Finding("credential", user, "ok", f"{name} can be read")


def _missing(name: str) -> str:
    if _closed(credentials_folder()):
        return AS_THE_DAEMON
    return (
        f"put it in /etc/credstore/{name}, root's and 0600; where `systemctl cat shippyard` does "
        f"not name it, add LoadCredential={name} by: systemctl edit shippyard"
    )


def _passfile(login: Login, file: Path) -> Finding:
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError as error:
        said = f"{file}: {error.strerror}"
        return Finding("credential", login.user, "fail", said, f"make it, mode 0600: {file}")
    if mode & 0o077:
        said = f"{file} is {mode:04o}, and libpq ignores what others may read"
        return Finding("credential", login.user, "fail", said, f"chmod 0600 {file}")
    return Finding("credential", login.user, "ok", f"{file} can be read")


def _key(signer: Signer, where: str) -> Finding:
    said = f"{where}, key {signer.key_id}, public key {signer.public_key}"
    return Finding(CHECK, "", "ok", said)


def _only_here(file: Path) -> Finding:
    return Finding(
        CHECK,
        "",
        "warn",
        "the key is on this machine only: lost with it, no backup is believed any more",
        f"keep {file} elsewhere, and write down the key above, by its id and whole; "
        f"better: put it in /etc/credstore/{CREDENTIAL}, "
        f'and set backup.signing_key_credential = "{CREDENTIAL}"',
    )


def _unknown_keys(patient: Patient, trusted: frozenset[str]) -> Iterator[Finding]:
    """Backups here that nobody we trust signed: the key was lost, or they are somebody else's."""
    layout = Layout(patient.config.backup.dir)
    for subject in layout.databases():
        if found := strangers(layout, subject, trusted):
            remedy = remedy_for(patient.config, found)
            yield Finding(CHECK, subject, "fail", told_of(found), remedy)
