"""All checks together show no more series than config allows; what is over is folded."""

from shippyard.telemetry.exposition import Exposition
from shippyard.telemetry.metrics import Metrics
from shippyard.telemetry.samples import Family, Sample


def family(name: str, count: int) -> Family:
    samples = tuple(Sample({"thing": f"t{n}"}, 1.0) for n in range(count))
    return Family(name, "Things.", "gauge", samples)


def shown(exposition: Exposition, name: str) -> list[str]:
    lines = exposition.render().decode().splitlines()
    return [line for line in lines if line.startswith(f"{name}{{")]


def test_a_small_budget_takes_hold_and_the_first_come_first() -> None:
    exposition = Exposition(Metrics(), series_max=100)
    assert exposition.publish("shop/a", [family("a_things", 60)], 300) == 0
    assert exposition.publish("shop/b", [family("b_things", 60)], 300) > 0
    assert len(shown(exposition, "a_things")) == 60
    rest = shown(exposition, "b_things")
    assert len(rest) == 40
    assert rest[-1] == 'b_things{thing="other"} 21'
    exposition.withdraw("shop/a")
    assert exposition.publish("shop/b", [family("b_things", 60)], 300) == 0
    assert len(shown(exposition, "b_things")) == 60
