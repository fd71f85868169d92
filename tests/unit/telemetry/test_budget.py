"""What is over a budget is folded, never shown, and always counted."""

from shippyard.telemetry.budget import within
from shippyard.telemetry.exposition import Exposition
from shippyard.telemetry.metrics import Metrics
from shippyard.telemetry.samples import Family, Sample


def family(count: int, name: str = "x_bytes", kind: str = "gauge") -> Family:
    samples = tuple(Sample({"database": "d", "t": str(n)}, float(n)) for n in range(count))
    return Family(name, "X.", "counter" if kind == "counter" else "gauge", samples, ("database",))


def test_what_fits_is_left_alone() -> None:
    assert within([family(3), family(2)], 5).folded == 0


def test_sizes_are_summed_and_ages_are_the_largest() -> None:
    sizes, ages = within([family(6), family(6, "x_seconds")], 6).families
    assert [sample.value for sample in sizes.samples] == [0, 1, 2 + 3 + 4 + 5]
    assert sizes.samples[-1].labels == {"database": "d", "t": "other"}
    assert ages.samples[-1].value == 5


def test_the_rest_of_a_counter_is_counted_and_not_shown() -> None:
    fitting = within([family(6, "x_total", "counter")], 4)
    assert [sample.value for sample in fitting.families[0].samples] == [0, 1, 2, 3]
    assert fitting.folded == 2


def test_no_more_than_the_limit_however_many_families() -> None:
    fitting = within([family(5, f"m{n}") for n in range(10)], 4)
    assert sum(len(each.samples) for each in fitting.families) == 4
    assert fitting.folded == 50


def test_one_publisher_leaves_the_others_their_series() -> None:
    exposition = Exposition(Metrics(), series_max=10)
    assert exposition.publish("a", [family(4, "a")]) == 0
    assert exposition.publish("b", [family(100, "b")]) == 95
    assert exposition.publish("a", [family(4, "a")]) == 0
    body = exposition.render().decode().splitlines()
    assert sum(line.startswith(("a{", "b{")) for line in body) == 10
    exposition.withdraw("b")
    assert exposition.publish("a", [family(9, "a")]) == 0
