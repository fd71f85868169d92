"""Owns what config says differently about a rule, and what one look says of which things. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from shippyard.alerting.incidents import Finding, Observation
from shippyard.config.alerting import RuleOverride

SUBJECTS_MAX = 5
"""Where more things are wrong at once they are one incident: it is one trouble, and one page."""


@dataclass(frozen=True)
class Ruled:
    """A look at one thing, after the overrides."""

    rule: str
    cluster: str
    database: str
    severity: str
    for_s: float
    finding: Finding | None
    subject: str = ""


def apply_rules(
    observation: Observation,
    overrides: Mapping[str, RuleOverride],
    open_subjects: Collection[str] = (),
) -> list[Ruled]:
    """`observation` as config wants it judged: one look at each thing it is about.

    `open_subjects` are those of open incidents of this rule and database: of each something is
    said. A rule that is turned off sees all clear, so that what it had opened comes to its end.
    """
    override = overrides.get(observation.rule, RuleOverride())
    whole = Ruled(
        rule=observation.rule,
        cluster=observation.cluster,
        database=observation.database,
        severity=override.severity or observation.severity,
        for_s=observation.for_s if override.for_s is None else override.for_s,
        finding=observation.finding if override.enabled else None,
    )
    if whole.finding is None or not observation.parts:
        gone = (subject for subject in open_subjects if subject)
        return [whole, *(replace(whole, subject=each, finding=None) for each in gone)]
    return _by_subject(whole, observation.parts, open_subjects)


def _by_subject(
    whole: Ruled, parts: Mapping[str, Finding], open_subjects: Collection[str]
) -> list[Ruled]:
    """Each thing by itself where they are few; else new ones together, as the whole.

    What is one incident stays one while it lasts: its end would be told of things that go on.
    """
    alone = len(parts) <= SUBJECTS_MAX and "" not in open_subjects
    own = [each for each in parts if alone or each in open_subjects]
    gone = [each for each in open_subjects if each and each not in parts]
    looks = [replace(whole, subject=each, finding=parts[each]) for each in own]
    looks += [replace(whole, subject=each, finding=None) for each in gone]
    if len(own) < len(parts):
        looks.append(whole)
    elif "" in open_subjects:
        looks.append(replace(whole, finding=None))
    return looks
