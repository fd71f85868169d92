"""Owns writing the dashboards: `python -m grafana.source.build`, which `make docs` runs.

A test builds them again and compares, so what is committed is what this gives.
"""

from collections.abc import Mapping
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.source import backups, locks, migrations, overview
from grafana.source.drawing import draw

FOLDER = Path(__file__).parents[1] / "dashboards"
PAGES = (overview.PAGE, locks.PAGE, backups.PAGE, migrations.PAGE)


def built() -> Mapping[str, str]:
    """Each dashboard's JSON by the name of its file."""
    encoder = JSONEncoder(sort_keys=True, indent=2)
    return {f"{page.uid}.json": encoder.encode(draw(page).build()) + "\n" for page in PAGES}


if __name__ == "__main__":
    for name, text in built().items():
        (FOLDER / name).write_text(text)
