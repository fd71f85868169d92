"""Owns how every `ctl` command asks the daemon: socket, `--json`, errors to exit codes, Ctrl-C."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from shippyard.cli.exits import ExitCode, Problem
from shippyard.cli.output import Progress, print_json

DEFAULT_SOCKET = Path("/run/shippyard/control.sock")

CODES = {
    "failed": ExitCode.FAILED,
    "usage": ExitCode.USAGE,
    "blocked": ExitCode.BLOCKED,
    "not_permitted": ExitCode.NOT_PERMITTED,
}

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass
class Asking:
    """How this invocation talks: the last `--socket` and any `--json` on the line count."""

    socket: Path = DEFAULT_SOCKET
    as_json: bool = False

    def ask(
        self,
        method: str,
        params: dict[str, Any] | None = None,
        estimate: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
        on_item: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> dict[str, Any]:
        """The daemon's answer; progress is shown meanwhile, with what `estimate` makes of it.

        `on_item` is given each piece that comes before the answer.

        Raises:
            Problem: unreachable, not permitted, refused or failed.
        """
        from shippyard.control.client import CallFailed, Client, DaemonUnreachable, NotPermitted

        progress = Progress(quiet=self.as_json)
        try:
            return dict(
                Client(self.socket).call(
                    method,
                    params or {},
                    on_progress=lambda fields: progress.show(estimate(fields)),
                    on_item=on_item,
                )
            )
        except DaemonUnreachable as error:
            raise Problem(str(error), ExitCode.UNREACHABLE) from None
        except NotPermitted as error:
            raise Problem(str(error), ExitCode.NOT_PERMITTED) from None
        except CallFailed as error:
            raise Refused(
                str(error), CODES.get(error.code, ExitCode.FAILED), error.detail
            ) from None
        except KeyboardInterrupt:
            raise Problem(
                "detached; the daemon goes on with it (see: shippyard ctl status)",
                ExitCode.INTERRUPTED,
            ) from None
        finally:
            progress.finish()

    def show(self, document: dict[str, Any], draw: Callable[[dict[str, Any]], None]) -> None:
        """Print an answer: as JSON when asked, else drawn."""
        print_json(document) if self.as_json else draw(document)


class Refused(Problem):
    """The daemon said no, with details worth drawing."""

    def __init__(self, message: str, code: ExitCode, detail: Any) -> None:
        super().__init__(message, code)
        self.detail: dict[str, Any] = dict(detail or {})


def asks(command: Command) -> Command:
    """Give a command `--socket` and `--json`, and its `Asking` as first argument."""
    options = (
        click.option(
            "--socket",
            type=click.Path(path_type=Path, readable=False),
            envvar="SHIPPYARD_SOCKET",
            expose_value=False,
            callback=_remember_socket,
            help=f"The daemon's socket.  [default: {DEFAULT_SOCKET}]",
        ),
        click.option(
            "--json",
            "as_json",
            is_flag=True,
            expose_value=False,
            callback=_remember_json,
            help="Print one JSON document.",
        ),
    )
    wrapped = click.make_pass_decorator(Asking, ensure=True)(command)
    for option in options:
        wrapped = option(wrapped)
    return wrapped  # type: ignore[return-value]  # click's decorators keep the call shape


def _remember_socket(ctx: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        ctx.ensure_object(Asking).socket = value


def _remember_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001  click's shape
    if value:
        ctx.ensure_object(Asking).as_json = True


def the_database(asking: Asking, given: str | None) -> str:
    """The database that is meant: the given one, or the only one the daemon guards.

    Raises:
        Problem: there are several and none was named.
    """
    if given:
        return given
    names = [each["name"] for each in asking.ask("status")["databases"]]
    if len(names) != 1:
        raise Problem(f"which database? name one of: {', '.join(names)}", ExitCode.USAGE)
    return str(names[0])
