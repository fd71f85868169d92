"""Owns reading what a call on the control socket says, and saying what went wrong in its codes."""

from collections.abc import Iterator
from contextlib import contextmanager

from shippyard.control.method import Call, MethodError
from shippyard.migration.execution import Blocked, RunFailed
from shippyard.migration.filling import FillingRefused
from shippyard.migration.plan import PlanRefused
from shippyard.migration.planner import PlanFailed
from shippyard.migration.service import NotConfigured, PlanChanged


@contextmanager
def said_in_codes() -> Iterator[None]:
    """What a room raises, as the socket says it."""
    try:
        yield
    except (PlanRefused, NotConfigured, FillingRefused) as error:
        raise MethodError("usage", str(error)) from None
    except PlanChanged as error:
        raise MethodError("blocked", str(error), {"plan_hash": error.plan_hash}) from None
    except Blocked as error:
        verdicts = [verdict.document() for verdict in error.verdicts]
        raise MethodError("blocked", str(error), {"verdicts": verdicts}) from None
    except (PlanFailed, RunFailed) as error:
        raise MethodError("failed", str(error)) from None


def database_of(call: Call) -> str:
    """Which database; it must be said."""
    return needed(call, "database")


def needed(call: Call, name: str) -> str:
    """A text that must be there."""
    value = text_of(call, name)
    if not value:
        raise MethodError("usage", f"say which {name}")
    return value


def text_of(call: Call, name: str) -> str | None:
    """A text, None where it is left out."""
    value = call.params.get(name)
    if value is not None and not isinstance(value, str):
        raise MethodError("usage", f"{name} must be text")
    return value
