"""Owns reaching a bucket: S3, Google or Azure. The only file that knows the library.

Every request has a deadline and a bounded number of retries. Errors leave as one line that says
what to do. Keys come from credentials, never from config.
"""

import asyncio
import contextlib
import http.client
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import CancelledError, Future
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import obstore
from obstore.store import AzureStore, GCSStore, S3Store

from shippyard.backup.offsite.faults import Verb, Where, explain, is_retained
from shippyard.backup.offsite.objects import (
    Found,
    Kept,
    ObjectAbsent,
    OffsiteStopped,
    Store,
)
from shippyard.backup.offsite.versions import Keys, RequestFailed, Versions
from shippyard.config.models import Offsite
from shippyard.host.clock import Clock
from shippyard.host.secrets import read_secret

if TYPE_CHECKING:
    from obstore.store import (
        AzureConfig,
        ClientConfig,
        GCSConfig,
        ObjectStore,
        RetryConfig,
        S3Config,
    )

CONNECT_TIMEOUT_S = 10.0
RETRY_FIRST_PAUSE_S = 0.2
RETRY_LONGEST_PAUSE_S = 15.0
RETRY_LONGEST_S = 240.0
"""Past five minutes a request's signature would no longer be good."""
STOP_S = 2.0

T = TypeVar("T")


class ObjectStorage:
    """Objects below a prefix of one bucket.

    The library works on an event loop of our own thread, so that a stop can end a request at once.
    """

    def __init__(
        self, bucket: "ObjectStore", prefix: str, where: Where, versions: Versions | None = None
    ) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._where = where
        self._versions = versions
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._is_closed = False

    @property
    def place(self) -> str:
        """The URL that config gives."""
        return self._where.place

    @property
    def deletes_versions(self) -> bool:
        """S3 needs keys of ours for that; elsewhere a delete is one."""
        return self._versions is not None or not isinstance(self._bucket, S3Store)

    def put(self, key: str, data: bytes, *, only_new: bool = False) -> None:
        """Upload in one request: it is there whole or not at all.

        Raises:
            ObjectExists, OffsiteFailed: as the protocol says.
        """
        mode: Any = "create" if only_new else "overwrite"

        async def work() -> None:
            await obstore.put_async(
                self._bucket, self._prefix + key, data, mode=mode, use_multipart=False
            )

        self._run(work, "write")

    def get(self, key: str, *, first_bytes: int | None = None) -> bytes:
        """Download all, or the first bytes.

        Raises:
            ObjectAbsent, OffsiteFailed: as the protocol says.
        """
        options: Any = {} if first_bytes is None else {"range": (0, first_bytes)}

        async def work() -> bytes:
            answer = await obstore.get_async(self._bucket, self._prefix + key, options=options)
            return bytes(await answer.bytes_async())

        return self._run(work, "read")

    def below(self, folder: str) -> list[Found]:
        """Every object below, page by page."""

        async def work() -> list[Found]:
            found = []
            async for page in obstore.list(self._bucket, self._prefix + folder):
                found += [Found(each["path"], each["size"]) for each in page]
            return found

        cut = len(self._prefix)
        plain = (Found(each.key[cut:], each.size_bytes) for each in self._run(work, "list"))
        return sorted(plain, key=lambda each: each.key)

    def folders(self, folder: str) -> list[str]:
        """Names of common prefixes right below."""

        async def work() -> list[str]:
            listed = await obstore.list_with_delimiter_async(self._bucket, self._prefix + folder)
            return [str(each) for each in listed["common_prefixes"]]

        return sorted(each.rstrip("/").rsplit("/", 1)[-1] for each in self._run(work, "list"))

    def delete(self, key: str) -> Kept | None:
        """Delete every version where the store has them and we hold keys, else the object.

        Raises:
            OffsiteFailed: as the protocol says.
        """
        if self._versions is None:
            return self._delete_plainly(key)
        try:
            return self._versions.delete_all(self._prefix + key)
        except RequestFailed as error:
            raise explain(error, "delete", self._where) from None
        except (OSError, http.client.HTTPException) as error:
            said = ConnectionError(f"HTTP error: {error or type(error).__name__}")
            raise explain(said, "delete", self._where) from None

    def close(self) -> None:
        """End requests that are under way; later ones are refused."""
        with self._lock:
            self._is_closed = True
            loop, self._loop = self._loop, None
        if loop is not None and self._thread is not None:
            asyncio.run_coroutine_threadsafe(_end_others(), loop)
            self._thread.join(STOP_S)

    def _delete_plainly(self, key: str) -> Kept | None:
        async def work() -> Kept | None:
            try:
                await obstore.delete_async(self._bucket, self._prefix + key)
            except Exception as error:
                if is_retained(error):
                    return Kept(None)
                raise
            return None

        with contextlib.suppress(ObjectAbsent):
            return self._run(work, "delete")
        return None

    def _run(self, work: Callable[[], Coroutine[Any, Any, T]], verb: Verb) -> T:
        future = self._submit(work)
        try:
            return future.result()
        except CancelledError:
            raise OffsiteStopped(f"stopped while talking to {self.place}") from None
        except (obstore.exceptions.BaseError, OSError, ValueError) as error:
            raise explain(error, verb, self._where) from None

    def _submit(self, work: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        # Under the lock: whatever is begun before a close is ended by it.
        with self._lock:
            if self._is_closed:
                raise OffsiteStopped(f"{self.place} is no longer talked to: we are stopping")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_turn, args=(self._loop,), name="offsite", daemon=True
                )
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(work(), self._loop)


def _turn(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


async def _end_others() -> None:
    """Cancel every other task of this loop, let them end, then stop it."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    # What waits for them is told by callbacks that are due before this one.
    asyncio.get_running_loop().call_soon(asyncio.get_running_loop().stop)


def _s3(settings: Offsite, bucket: str, prefix: str, clock: Clock) -> Store:
    """Without keys in config the library looks where its own tools do: environment, instance."""
    keys = _keys(settings)
    # A bucket with a default retention takes nothing without a checksum.
    config: S3Config = {"region": settings.region, "checksum_algorithm": "SHA256"}
    if settings.endpoint:
        config["endpoint"] = settings.endpoint
    if keys:
        config["access_key_id"] = keys.access_key
        config["secret_access_key"] = keys.secret_key
    store = S3Store(
        bucket,
        config=config,
        client_options=_client(settings),
        retry_config=_retries(settings),
    )
    return ObjectStorage(
        store, prefix, _where(settings, bucket), _versions(settings, bucket, keys, clock)
    )


def _versions(settings: Offsite, bucket: str, keys: Keys | None, clock: Clock) -> Versions | None:
    """None without keys of our own to sign with: then a delete hides, and a lock isn't proven."""
    if keys is None:
        return None
    endpoint = settings.endpoint or f"https://s3.{settings.region}.amazonaws.com"
    timeout_s = settings.timeout_s
    return Versions(endpoint, bucket, settings.region, keys, clock=clock, timeout_s=timeout_s)


def _gs(settings: Offsite, bucket: str, prefix: str, _: Clock) -> Store:
    """The secret is a service account's key, as the JSON that Google gives."""
    config: GCSConfig = {}
    if settings.endpoint:
        config["base_url"] = settings.endpoint
    if settings.secret_key_credential:
        config["service_account_key"] = read_secret(settings.secret_key_credential)
    store = GCSStore(
        bucket,
        config=config,
        client_options=_client(settings),
        retry_config=_retries(settings),
    )
    return ObjectStorage(store, prefix, _where(settings, bucket))


def _az(settings: Offsite, container: str, prefix: str, _: Clock) -> Store:
    """The access key is the storage account's name, the secret one of its keys."""
    config: AzureConfig = {}
    if settings.endpoint:
        config["endpoint"] = settings.endpoint
    if keys := _keys(settings):
        config["account_name"] = keys.access_key
        config["account_key"] = keys.secret_key
    store = AzureStore(
        container,
        config=config,
        client_options=_client(settings),
        retry_config=_retries(settings),
    )
    return ObjectStorage(store, prefix, _where(settings, container))


def _keys(settings: Offsite) -> Keys | None:
    access, secret = settings.access_key_credential, settings.secret_key_credential
    return Keys(read_secret(access), read_secret(secret)) if access and secret else None


def _where(settings: Offsite, bucket: str) -> Where:
    return Where(settings.url, bucket, settings.endpoint)


def _client(settings: Offsite) -> "ClientConfig":
    return {
        "allow_http": settings.allow_http,
        "timeout": timedelta(seconds=settings.timeout_s),
        "connect_timeout": timedelta(seconds=min(CONNECT_TIMEOUT_S, settings.timeout_s)),
    }


def _retries(settings: Offsite) -> "RetryConfig":
    longest_s = min(settings.timeout_s * (settings.retry_max + 1), RETRY_LONGEST_S)
    return {
        "max_retries": settings.retry_max,
        "retry_timeout": timedelta(seconds=longest_s),
        "backoff": {
            "init_backoff": timedelta(seconds=RETRY_FIRST_PAUSE_S),
            "max_backoff": timedelta(seconds=RETRY_LONGEST_PAUSE_S),
            "base": 2,
        },
    }


Maker = Callable[[Offsite, str, str, Clock], Store]
"""Makes the store of settings, a bucket, a prefix in it, and a clock."""

MAKERS: Mapping[str, Maker] = {"s3": _s3, "gs": _gs, "az": _az}
