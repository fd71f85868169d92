"""Owns the checks of what is promised against what is scheduled. Asks nobody."""

from collections.abc import Iterator

from shippyard.backup.drill.objectives import OBJECTIVES
from shippyard.backup.late import promised_too_much
from shippyard.calendar.due import parse_schedule
from shippyard.setup.doctor.finding import Finding, Patient

CHECK = "promise"


def promises(patient: Patient) -> Iterator[Finding]:
    """Whether a database's criticality can be kept by what is configured."""
    backup, now = patient.config.backup, patient.clock.now()
    schedule = backup.dump_schedule
    dumps = [parse_schedule(schedule, backup.timezone)] if schedule else []
    for database in patient.config.databases:
        kept = patient.kept(database.cluster)
        if kept and kept.wal != "off":
            yield Finding(CHECK, database.name, "ok", "WAL is kept")
        elif not dumps:
            remedy = "set backup.dump_schedule, or take them by hand: shippyard ctl backup run"
            yield Finding(CHECK, database.name, "warn", "no dump is scheduled", remedy)
        elif said := promised_too_much(dumps, OBJECTIVES[database.criticality].rpo_s, now):
            remedy = f'write [backup.clusters.{database.cluster}] wal = "stream"'
            yield Finding(CHECK, database.name, "warn", said, remedy)
        else:
            yield Finding(CHECK, database.name, "ok", "its dumps come often enough")
    if not backup.drill.schedule:
        remedy = 'set backup.drill.schedule, such as "0 4 1 * *"'
        yield Finding(CHECK, "", "warn", "no drill is scheduled: nothing is proven", remedy)
