"""Owns whose manifests are believed: our own key signs, and ours and the trusted ones are read."""

from dataclasses import dataclass
from pathlib import Path

from shippyard.backup.manifest import Manifest, read_manifest, write_manifest
from shippyard.config.models import Config
from shippyard.host.signing import Signer, signer_of


@dataclass(frozen=True)
class Seal:
    """Our key, and the public keys of manifests that may be restored here."""

    signer: Signer
    trusted: frozenset[str]

    def read(self, folder: Path) -> Manifest:
        """The manifest of a published backup.

        Raises:
            ManifestUnusable: missing, unreadable, of another backup, or not signed by one we trust.
        """
        return read_manifest(folder, self.trusted)

    def write(self, folder: Path, manifest: Manifest) -> None:
        """Sign the manifest and put it beside the artifact, durably."""
        write_manifest(folder, manifest, self.signer)


def seal_of(config: Config) -> Seal:
    """The seal that the configuration asks for; without a credential a key of this machine's own.

    Raises:
        SecretMissing, KeyUnusable: the key can't be read.
        OSError: a new key can't be kept.
    """
    signer = signer_of(config.backup.signing_key_credential, config.daemon.state_dir)
    return Seal(signer, frozenset({signer.public_key, *config.backup.trusted_keys}))
