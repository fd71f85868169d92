"""Owns answering one request: finding its method, judging the role, and naming what went wrong.

Knows no sockets and no domain; it is given its methods.
"""

import difflib
from collections.abc import Iterable

import structlog

from shippyard.control.codec import Failure, Request, Result
from shippyard.control.method import Call, Method, MethodError, Peer, Stream
from shippyard.host.clock import Clock
from shippyard.host.secrets import mask
from shippyard.telemetry.metrics import Metrics

MESSAGE_CHARS = 4000

logger = structlog.get_logger(__name__)


class Dispatcher:
    """Calls `methods`; one canonical log line and one count for each request."""

    def __init__(self, methods: Iterable[Method], *, clock: Clock, metrics: Metrics) -> None:
        self._methods = {method.name: method for method in methods}
        self._clock = clock
        self._metrics = metrics

    def answer(self, request: Request, peer: Peer, stream: Stream) -> Result | Failure:
        """The last frame of the answer; never raises."""
        began = self._clock.monotonic()
        last = self._answer(request, peer, stream)
        outcome = last.code if isinstance(last, Failure) else "ok"
        # An unknown method is whatever a client typed: as a label it would have no bound.
        method = request.method if request.method in self._methods else "unknown"
        self._metrics.control_requests.labels(method, outcome).inc()
        logger.info(
            "control.request",
            method=method,
            user=peer.user,
            uid=peer.uid,
            outcome=outcome,
            elapsed_s=round(self._clock.monotonic() - began, 3),
        )
        return last

    def _answer(self, request: Request, peer: Peer, stream: Stream) -> Result | Failure:
        try:
            method = self._permitted(request.method, peer)
            return Result(request.id, method.run(Call(request.params, peer, stream)))
        except MethodError as error:
            return Failure(request.id, error.code, _one_line(str(error)), error.detail)
        except Exception as error:
            logger.exception("control.method_failed", method=request.method, user=peer.user)
            said = f"{request.method} failed: {type(error).__name__}: {error}"
            return Failure(request.id, "failed", _one_line(said))

    def _permitted(self, name: str, peer: Peer) -> Method:
        method = self._methods.get(name)
        if method is None:
            raise MethodError("usage", f"no method {name!r}{self._nearest(name)}")
        if method.role not in peer.roles:
            raise MethodError(
                "not_permitted",
                f"{name} is for {method.role}s and user {peer.user!r} is none; "
                f"ask for a place in control.{method.role}s",
            )
        return method

    def _nearest(self, name: str) -> str:
        close = difflib.get_close_matches(name, sorted(self._methods), n=1, cutoff=0.5)
        return f"; did you mean {close[0]!r}?" if close else ""


def _one_line(text: str) -> str:
    return " ".join(mask(text).split())[:MESSAGE_CHARS]
