"""Owns the checks of secrets: each credential and file that config names, and the signing key."""

import stat
from collections.abc import Iterator
from pathlib import Path

from shippyard.backup.seal import KEYS_FOLDER
from shippyard.config.models import Config, Login
from shippyard.host.secrets import SecretMissing, read_secret
from shippyard.host.signing import KeyUnusable, Signer, signer_from_credential, signer_in
from shippyard.setup.doctor.finding import Finding, Patient

KEY_FILE = "signing.key"
STORE = "SHIPPYARD_CREDENTIALS=/etc/credstore"


def credentials(patient: Patient) -> Iterator[Finding]:
    """Whether every secret can be read here and now."""
    for name, user in sorted(named_in(patient.config).items()):
        try:
            read_secret(name)
        except SecretMissing as error:
            remedy = f"put it in /etc/credstore/{name}, and run this with {STORE}"
            yield Finding("credential", user, "fail", str(error), remedy)
        else:
            yield Finding("credential", user, "ok", f"{name} can be read")
    for login in _logins(patient.config):
        if login.passfile:
            yield _passfile(login, login.passfile)


def signing_key(patient: Patient) -> Iterator[Finding]:
    """Whether manifests can be signed, and the key survives the loss of this machine."""
    credential = patient.config.backup.signing_key_credential
    folder = patient.config.daemon.state_dir / KEYS_FOLDER
    try:
        if credential:
            yield _key(signer_from_credential(credential), f"credential {credential!r}")
        elif has_key(patient):
            yield _key(signer_in(folder), str(folder / KEY_FILE))
            yield Finding(
                "signing key",
                "",
                "warn",
                "the key is on this machine only: manifests elsewhere can't be checked without it",
                "keep the public key above elsewhere, for backup.trusted_keys of another machine",
            )
        else:
            yield Finding("signing key", "", "ok", f"will be made in {folder} at the first start")
    except (SecretMissing, KeyUnusable) as error:
        yield Finding("signing key", "", "fail", str(error), "give it 32 bytes in base64")


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
    said = f"{where}, public key {signer.public_key}"
    return Finding("signing key", "", "ok", said)
