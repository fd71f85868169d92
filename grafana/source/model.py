"""Owns what a dashboard is made of: pages of rows of panels, each with its questions. No drawing.

In an expression `{@}` stands for the labels of daemon and database that a reader chose, `{@daemon}`
for those of the daemon alone, and `{@kept}` also takes in backups of whole clusters.
"""

from dataclasses import dataclass
from typing import Literal

DAEMON = 'job=~"$job", instance=~"$instance"'
DATABASE = f'{DAEMON}, database=~"$database"'
KEPT = f'{DAEMON}, database=~"$database|@.*"'

Kind = Literal["timeseries", "stat", "table"]
Colour = Literal["green", "orange", "red", "blue", "text"]


@dataclass(frozen=True)
class Ask:
    """One question, and what its lines are called (`{{label}}`)."""

    expr: str
    legend: str = ""

    @property
    def filled(self) -> str:
        """With the chosen labels in it, in the form that Grafana is given."""
        text = self.expr.replace("{@daemon", "{" + DAEMON).replace("{@kept", "{" + KEPT)
        return text.replace("{@", "{" + DATABASE)


@dataclass(frozen=True)
class Step:
    """From this value on it has this colour."""

    value: float
    colour: Colour


@dataclass(frozen=True)
class Panel:
    """One picture. `steps` begin above the colour that it has below them all, which is `base`."""

    title: str
    description: str
    unit: str
    asks: tuple[Ask, ...]
    kind: Kind = "timeseries"
    width: int = 8
    steps: tuple[Step, ...] = ()
    base: Colour = "green"
    empty: str = "unknown"


@dataclass(frozen=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Page:
    """One dashboard."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]


def light(
    title: str, description: str, unit: str, expr: str, *steps: Step, base: Colour = "green"
) -> Panel:
    """A traffic light: one number, its background in the colour of its step."""
    return Panel(title, description, unit, (Ask(expr),), "stat", 4, steps, base)


def chart(
    title: str, description: str, unit: str, *asks: Ask, steps: tuple[Step, ...] = ()
) -> Panel:
    """Lines over time, with a line where it becomes a matter for on-call."""
    return Panel(title, description, unit, asks, steps=steps)
