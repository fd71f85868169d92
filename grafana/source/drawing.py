"""Owns how a page becomes what Grafana reads. Knows nothing of what it asks."""

from typing import Any

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    DataTransformerConfig,
    GridPos,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana.source.model import DAEMON, Ask, Page, Panel, Row

WIDTH = 24
LIGHT_HEIGHT, CHART_HEIGHT = 4, 8
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "shippyard"
ALL = VariableOption(selected=True, text=["All"], value=["$__all"])

ANNOTATIONS = (
    ("Restarts", "purple", "changes(process_start_time_seconds{@daemon}[$__rate_interval]) > 0"),
    (
        "Backups",
        "green",
        (
            "sum by (database, kind, outcome)"
            " (increase(shippyard_backup_runs_total{@kept}[$__rate_interval])) > 0"
        ),
    ),
    ("Migrations", "blue", "max by (database) (shippyard_migration_running{@}) == 1"),
    (
        "Incidents",
        "red",
        'max by (rule) (shippyard_alerting_incidents{@daemon, state="firing"}) > 0',
    ),
)
"""Name, colour and question of what is marked on every chart."""


def draw(page: Page) -> dashboard.Dashboard:
    """The dashboard as the SDK builds it."""
    made = (
        dashboard.Dashboard(page.title)
        .uid(page.uid)
        .description(page.description)
        .tags([TAG, "postgresql"])
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .editable()
        .link(_links())
        .with_variable(_source())
    )
    for name, label, question in VARIABLES:
        made.with_variable(_variable(name, label, question))
    for name, colour, expr in ANNOTATIONS:
        made.annotation(_annotation(name, colour, expr))
    _place(made, page.rows)
    return made


VARIABLES = (
    ("job", "Job", "label_values(shippyard_build_info, job)"),
    ("instance", "Daemon", 'label_values(shippyard_build_info{job=~"$job"}, instance)'),
    ("database", "Database", f"label_values(shippyard_health_database_up{{{DAEMON}}}, database)"),
)


def _source() -> dashboard.DatasourceVariable:
    return dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")


def _variable(name: str, label: str, question: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query({"query": question, "refId": name})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(ALL)
    )


def _annotation(name: str, colour: str, expr: str) -> dashboard.AnnotationQuery:
    return (
        dashboard.AnnotationQuery()
        .name(name)
        .datasource(SOURCE)
        .enable(True)
        .icon_color(colour)
        .expr(Ask(expr).filled)
    )


def _links() -> dashboard.DashboardLink:
    """To the other pages, with the time and the variables that were chosen here."""
    return (
        dashboard.DashboardLink("Shippyard")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .include_vars(True)
        .keep_time(True)
        .as_dropdown(False)
    )


def _place(made: dashboard.Dashboard, rows: tuple[Row, ...]) -> None:
    """Left to right, and on to the next line where the width is used up."""
    y, number = 0, 0
    for row in rows:
        number += 1
        made.with_row(dashboard.Row(row.title).id(number).grid_pos(GridPos(1, WIDTH, 0, y)))
        y, x, height = y + 1, 0, 0
        for panel in row.panels:
            number += 1
            if x + panel.width > WIDTH:
                y, x, height = y + height, 0, 0
            tall = LIGHT_HEIGHT if panel.kind == "stat" else CHART_HEIGHT
            made.with_panel(_panel(panel).id(number).grid_pos(GridPos(tall, panel.width, x, y)))
            x, height = x + panel.width, max(height, tall)
        y += height


def _panel(panel: Panel) -> Any:
    made: Any = {"stat": _stat, "timeseries": _timeseries, "table": _table}[panel.kind](panel)
    made.title(panel.title).description(panel.description).datasource(SOURCE).unit(panel.unit)
    made.thresholds(_thresholds(panel))
    for number, ask in enumerate(panel.asks):
        query = prometheus.Dataquery().expr(ask.filled).datasource(SOURCE)
        query.ref_id(chr(ord("A") + number)).legend_format(ask.legend or "__auto")
        if panel.kind == "timeseries":
            query.range()
        else:
            query.instant()
        if panel.kind == "table":
            query.format(PromQueryFormat.TABLE)
        made.with_target(query)
    return made


def _stat(panel: Panel) -> stat.Panel:
    return (
        stat.Panel()
        .color_mode(BigValueColorMode.BACKGROUND)
        .graph_mode(BigValueGraphMode.NONE)
        .no_value(panel.empty)
    )


def _timeseries(panel: Panel) -> timeseries.Panel:
    made = (
        timeseries.Panel()
        .fill_opacity(8)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        .no_value(panel.empty)
    )
    if panel.steps:
        style = common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.LINE)
        made.thresholds_style(style)
    return made


def _table(panel: Panel) -> table.Panel:
    merged = DataTransformerConfig(id_val="merge", options={})
    return table.Panel().with_transformation(merged).no_value(panel.empty)


def _thresholds(panel: Panel) -> dashboard.ThresholdsConfig:
    steps = [Threshold(value=None, color=panel.base)]
    steps += [Threshold(value=step.value, color=step.colour) for step in panel.steps]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
