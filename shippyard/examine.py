"""Owns what can be said of a configuration without credentials, a server or a daemon.

Parsing found it well-formed; here the rooms say whether they know what it names.
"""

from shippyard.alerting.own import DEAD_RULE
from shippyard.calendar.due import BadSchedule, parse_schedule
from shippyard.config.loading import ConfigError
from shippyard.config.models import Config, Health
from shippyard.health.loader import CheckInvalid, load_checks
from shippyard.health.shown import UNREACHABLE
from shippyard.outcomes import ROOM_RULES
from shippyard.selfwatch import RULES as SELF_RULES

OWN_RULES = frozenset({UNREACHABLE, DEAD_RULE, *SELF_RULES}) | ROOM_RULES
"""Rules that no check has."""


def refuse_unknown_rules(config: Config) -> None:
    """A misspelt rule would change nothing, in silence.

    Raises:
        ConfigError: `alerting.rules` names a rule that nobody has.
        CheckInvalid: a check is wrong.
    """
    everything = Health(checks_dir=config.health.checks_dir)
    checks = (*load_checks(everything), *load_checks(config.health))
    known = {check.alert.rule for check in checks if check.alert} | OWN_RULES
    for rule in sorted(set(config.alerting.rules) - known):
        raise ConfigError(f"no alert rule {rule!r}; known: {', '.join(sorted(known))}")


def examine(config: Config) -> list[str]:
    """What can be said of a configuration without credentials or a server: notes, one line each.

    Raises:
        ConfigError: a check or a schedule is wrong.
    """
    try:
        refuse_unknown_rules(config)
        backup = config.backup
        lines = (
            backup.dump_schedule,
            backup.schema_schedule,
            backup.base_schedule,
            backup.incremental_schedule,
            backup.prune_schedule,
            backup.drill.schedule,
        )
        for line in filter(None, lines):
            parse_schedule(line, backup.timezone)
    except (CheckInvalid, BadSchedule) as error:
        raise ConfigError(str(error)) from None
    if config.migration and not config.migration.alembic_ini.is_file():
        return [f"migration.alembic_ini: {config.migration.alembic_ini} is not there yet"]
    return []
