"""docs/metrics.md is what the declarations say."""

from pathlib import Path

from shippyard.setup.metrics_manual import manual

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text() == manual(), "make docs"
