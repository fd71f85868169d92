"""The Dockerfile keeps its promises: two stages, pinned, not root, health-checked, no secrets."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
SECRET_WORDS = re.compile(r"password|secret|token|api_?key|dsn", re.IGNORECASE)


def instructions() -> list[tuple[str, str]]:
    """Keyword and arguments of every instruction, continuation lines joined."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", "", text)
    split = (line.split(maxsplit=1) for line in joined.splitlines() if line.strip())
    return [(keyword, rest) for keyword, rest in split]


def of(keyword: str, *, last_stage: bool = False) -> list[str]:
    found = instructions()
    if last_stage:
        start = max(i for i, (word, _) in enumerate(found) if word == "FROM")
        found = found[start:]
    return [rest for word, rest in found if word == keyword]


def test_two_stages_on_a_named_version() -> None:
    images = of("FROM")
    assert len(images) == 2
    assert all(image.startswith("python:3.13-slim") for image in images)


def test_runs_as_a_numbered_user_that_is_not_root() -> None:
    (user,) = of("USER", last_stage=True)
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)


def test_every_download_by_pip_is_pinned_by_hash() -> None:
    installs = [run for run in of("RUN") if "pip install" in run]
    assert installs
    for run in installs:
        assert "--require-hashes" in run or "--no-deps --no-build-isolation ." in run
    requirements = (ROOT / "requirements" / "runtime.txt").read_text()
    pins = re.findall(r"^[a-z].*==", requirements, re.MULTILINE)
    hashed = re.findall(r"^[a-z].*\\\n    --hash=sha256:", requirements, re.MULTILINE)
    assert len(pins) == len(hashed) > 0


def test_is_health_checked_on_the_port_that_is_the_default() -> None:
    (check,) = of("HEALTHCHECK", last_stage=True)
    assert "http://127.0.0.1:9754/healthz" in check
    assert of("EXPOSE", last_stage=True) == ["9754"]


def test_holds_no_secret() -> None:
    assert not any(SECRET_WORDS.search(rest) for rest in [*of("ENV"), *of("ARG"), *of("COPY")])


def test_brings_the_client_programs_of_postgresql() -> None:
    assert any("postgresql-client" in run for run in of("RUN", last_stage=True))


def test_the_builder_gets_only_what_is_listed_and_all_that_is_copied() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    from_context = [rest for rest in of("COPY") if not rest.startswith("--from")]
    copied = {source for rest in from_context for source in rest.split()[:-1]}
    assert copied == allowed
