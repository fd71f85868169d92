"""`shippyard ctl migrate attest`: another environment's signed word that the same content ran."""

from pathlib import Path
from typing import Any

import click

from shippyard.cli.ctl.asking import Asking, asks
from shippyard.cli.exits import EXIT_CODES_HELP, ExitCode, Problem
from shippyard.cli.output import size, when

BYTES_MAX = 16 * 1024


@click.group(epilog=EXIT_CODES_HELP)
def attest() -> None:
    """Carry the word that a plan's content ran in staging to production's daemon.

    \b
    Example:
      shippyard ctl migrate attest export --out word.json  # in staging
      shippyard ctl migrate attest import word.json        # in production
    """


@attest.command("export", epilog=EXIT_CODES_HELP)
@click.argument("run", required=False)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write it; else it is printed.",
)
@asks
def export(asking: Asking, run: str | None, out: Path | None) -> None:
    """Write the signed word on a RUN that is done, by default the newest.

    \b
    Example:
      shippyard ctl migrate attest export --out word.json
    """
    said = asking.ask("migrate.attest.export", {"run": run} if run else {})
    if out is None:
        click.echo(said["envelope"], nl=False)
        return
    try:
        out.write_text(said["envelope"])
    except OSError as error:
        raise Problem(f"{out}: {error.strerror}") from None
    asking.show({**said, "out": str(out)}, _draw_given)


@attest.command("import", epilog=EXIT_CODES_HELP)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@asks
def import_(asking: Asking, file: Path) -> None:
    """Take the word in FILE; it counts when its key is one of migration.staging_keys.

    \b
    Example:
      shippyard ctl migrate attest import word.json
    """
    asking.show(asking.ask("migrate.attest.import", {"envelope": _text_of(file)}), _draw_taken)


@attest.command("key", epilog=EXIT_CODES_HELP)
@asks
def key(asking: Asking) -> None:
    """Print this daemon's public key, for another one's migration.staging_keys.

    \b
    Example:
      shippyard ctl migrate attest key
    """
    asking.show(asking.ask("migrate.attest.key"), lambda said: click.echo(said["public_key"]))


def _text_of(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            data = opened.read(BYTES_MAX + 1)
        if len(data) > BYTES_MAX:
            raise Problem(f"{file} is larger than {BYTES_MAX} bytes: no word is", ExitCode.USAGE)
        return data.decode()
    except UnicodeDecodeError:
        raise Problem(f"{file} is no text; bring what `attest export` wrote") from None
    except OSError as error:
        raise Problem(f"{file}: {error.strerror}") from None


def _draw_given(said: dict[str, Any]) -> None:
    click.echo(f"{said['out']}: {_ran(said)}")


def _draw_taken(said: dict[str, Any]) -> None:
    click.echo(f"taken: {_ran(said)}")


def _ran(said: dict[str, Any]) -> str:
    over = f" over {size(said['data_bytes'])}" if said["data_bytes"] is not None else ""
    return (
        f"content {said['content_hash'][:12]} of {said['database']} ran in {said['environment']} "
        f"at {when(said['finished_at'])}{over}, by the word of key {said['key_id']}, "
        f"until {when(said['expires_at'])}"
    )
