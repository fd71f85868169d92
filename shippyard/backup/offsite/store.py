"""Owns which store a URL in config names: a folder, or a bucket. A library is loaded only then."""

from pathlib import Path
from urllib.parse import urlsplit

from shippyard.backup.offsite.folder import FolderStore
from shippyard.backup.offsite.objects import Store
from shippyard.config.models import Offsite
from shippyard.host.clock import Clock

BUCKETS = frozenset({"s3", "gs", "az"})


class BadPlace(Exception):
    """The URL in config names no store that we know; one line."""


def open_store(settings: Offsite, clock: Clock) -> Store:
    """The store that config names. Nothing is asked of it yet.

    Raises:
        BadPlace: the URL is none of ours.
        SecretMissing: a credential can't be read.
    """
    url = urlsplit(settings.url)
    if url.scheme in {"", "file"}:
        if not url.path.startswith("/") or url.netloc:
            raise BadPlace(f"backup.offsite.url {settings.url!r} is no absolute path")
        return FolderStore(Path(url.path))
    if url.scheme not in BUCKETS or not url.netloc:
        raise BadPlace(
            f"backup.offsite.url {settings.url!r} is unknown; "
            "use s3://bucket/prefix, gs://…, az://… or a path"
        )
    from shippyard.backup.offsite.buckets import MAKERS  # noqa: PLC0415

    return MAKERS[url.scheme](settings, url.netloc, url.path.strip("/"), clock)
