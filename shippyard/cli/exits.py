"""Owns the exit codes, and turning any expected error into one line on stderr."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What every command ends with."""

    OK = 0
    FAILED = 1
    USAGE = 2
    BLOCKED = 3
    UNREACHABLE = 4
    NOT_PERMITTED = 5
    INTERRUPTED = 130


class Problem(Exception):
    """An expected end of a command: one line for a person, and how to exit."""

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.code = code


EXIT_CODES_HELP = """\b
Exit codes:
  0  ok
  1  failed
  2  usage or configuration, or an id that is not there
  3  a gate blocked it
  4  the daemon, or a server, is unreachable
  5  not permitted
  130  interrupted; what the daemon does goes on
"""
