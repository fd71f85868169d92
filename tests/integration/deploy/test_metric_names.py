"""promtool accepts every metric that can be served, by name, type and help."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from shippyard.config.models import Health
from shippyard.health.loader import load_checks
from shippyard.host.process import Processes
from shippyard.telemetry.exposition import Exposition
from shippyard.telemetry.formats import Format, Wanted
from shippyard.telemetry.metrics import Metrics
from shippyard.telemetry.samples import Family, Sample


@pytest.fixture
def exposition() -> Exposition:
    """One sample of everything that is declared."""
    metrics = Metrics()
    for each in [v for v in vars(metrics).values() if isinstance(v, MetricWrapperBase)]:
        if each._labelnames:
            each.labels(*each._labelnames)
    shown = Exposition(metrics)
    for check in load_checks(Health()):
        samples = (Sample({"database": "one"}, 0.5),)
        families = [Family(spec.name, spec.help, spec.kind, samples) for spec in check.metrics]
        shown.publish(check.name, families)
    return shown


def test_names_are_as_prometheus_wants_them(
    exposition: Exposition, tool: Any, processes: Processes, tmp_path: Path
) -> None:
    body = exposition.render()
    program = tool("promtool", "Debian's prometheus package")
    said = tmp_path / "said"
    with (
        said.open("wb") as stdout,
        processes.start([program, "check", "metrics"], stdout=stdout, pipe_stdin=True) as child,
    ):
        child.send(body)
        returncode = child.wait(30)
        problems = child.stderr_tail() + said.read_text()
    assert (returncode, problems) == (0, "")


def test_openmetrics_is_read_whole_by_its_own_parser(exposition: Exposition) -> None:
    body = exposition.render(Wanted(Format.OPENMETRICS)).decode()
    names = {each.name for each in text_string_to_metric_families(body)}  # type: ignore[no-untyped-call]
    checks = load_checks(Health())
    wanted = {spec.name.removesuffix("_total") for check in checks for spec in check.metrics}
    assert wanted <= names
