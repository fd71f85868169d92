"""Owns what restores answer on the socket: assess, run, status."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from shippyard.backup.model import BackupUnknown, subject_of_cluster
from shippyard.backup.restore.archive import RestoreBlocked, RestoreFailed
from shippyard.backup.restore.assess import Wanted
from shippyard.backup.restore.course import Place
from shippyard.backup.restore.service import RestoreRefusedHere, Restores
from shippyard.backup.restore.words import (
    RequestInvalid,
    assessment_document,
    report_document,
    run_document,
    wanted_of,
)
from shippyard.config.models import Config
from shippyard.control.method import Call, Document, Method, MethodError
from shippyard.postgres.target import Target

MakeDatabase = Callable[[Target], Place]
MakeFolder = Callable[[Path], Place]


def build(
    restores: Restores,
    config: Config,
    targets: Mapping[str, Target],
    *,
    into_database: MakeDatabase,
    into_folder: MakeFolder,
) -> list[Method]:
    """The methods. `targets` say how the role that restores reaches each database, by its name."""
    answers = _Answers(restores, config, targets, into_database, into_folder)
    return [
        Method("restore.assess", "viewer", answers.assess),
        Method("restore.run", "operator", answers.run),
        Method("restore.status", "viewer", answers.status),
    ]


class _Answers:
    def __init__(
        self,
        restores: Restores,
        config: Config,
        targets: Mapping[str, Target],
        into_database: MakeDatabase,
        into_folder: MakeFolder,
    ) -> None:
        self._restores = restores
        self._config = config
        self._targets = targets
        self._into_database = into_database
        self._into_folder = into_folder

    def assess(self, call: Call) -> Document:
        """What can be restored, what is lost, how long, and what stands against it."""
        wanted, place = self._asked(call.params)
        try:
            return assessment_document(self._restores.assess(wanted, place))
        except BackupUnknown as error:
            raise MethodError("usage", str(error)) from None
        except RestoreFailed as error:
            raise MethodError("failed", str(error)) from None

    def run(self, call: Call) -> Document:
        """Restore; `confirm` must be the target's name, which is what a person typed."""
        wanted, place = self._asked(call.params)
        if call.params.get("confirm") != place.name:
            raise MethodError("usage", f"confirm it by the target's name: {place.name}")
        try:
            report = self._restores.run(
                wanted, place, asked_by=call.peer.user, progress=call.stream.progress
            )
        except BackupUnknown as error:
            raise MethodError("usage", str(error)) from None
        except RestoreRefusedHere as refused:
            raise MethodError(
                "blocked", str(refused), assessment_document(refused.assessment)
            ) from None
        except RestoreBlocked as error:
            raise MethodError("blocked", str(error)) from None
        except RestoreFailed as error:
            raise MethodError("failed", str(error)) from None
        return report_document(report)

    def status(self, _: Call) -> Document:
        """Restores under way, and the last that ended."""
        return {"restores": [run_document(run) for run in self._restores.runs()]}

    def _asked(self, params: Document) -> tuple[Wanted, Place]:
        name = params.get("of")
        folder = params.get("data_dir")
        try:
            if folder:
                place = self._into_folder(Path(str(folder)))
                return wanted_of(params, way="files", target=place.name), place
            wanted = wanted_of(params, way="dump", target="")
            target = self._target(str(name), params.get("dbname"))
            return replace(wanted, target=target.dbname), self._into_database(target)
        except RequestInvalid as error:
            raise MethodError("usage", str(error)) from None

    def _target(self, name: str, dbname: object) -> Target:
        """Where a database's dump goes: into its own server, by its own or another name."""
        target = self._targets.get(name)
        if target is None:
            clusters = map(subject_of_cluster, self._config.backup.clusters)
            known = ", ".join((*(each.name for each in self._config.databases), *clusters))
            raise MethodError("usage", f"no database {name!r}; the configuration has {known}")
        return target if dbname is None else replace(target, dbname=str(dbname))
