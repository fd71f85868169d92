"""Owns the page of migrations: what runs, what was stopped and why, and what waits for a yes."""

from grafana.source.model import Ask, Page, Row, Step, chart, light

PAGE = Page(
    "shippyard-migrations",
    "Shippyard: migrations",
    "What is under way: `shippyard ctl migrate status --watch`. What was done: `… audit`.",
    (
        Row(
            "Are they safe?",
            (
                light(
                    "Running",
                    "Runs under way now.",
                    "none",
                    "sum(shippyard_migration_running{@})",
                    Step(1, "blue"),
                ),
                light(
                    "Failed, 24 h",
                    "Runs that ended without being done.",
                    "none",
                    'sum(increase(shippyard_migration_runs_total{@, outcome="failed"}[24h]))',
                    Step(1, "red"),
                ),
                light(
                    "Taken back, 24 h",
                    "Runs that were undone.",
                    "none",
                    'sum(increase(shippyard_migration_runs_total{@, outcome="rolled_back"}[24h]))',
                    Step(1, "orange"),
                ),
                light(
                    "Wait for a yes",
                    "Plans whose approval was asked for and not given yet.",
                    "none",
                    "sum(shippyard_migration_approvals_waited_for{@})",
                    Step(1, "blue"),
                ),
                light(
                    "Drift",
                    "Objects that are not as the last run left them.",
                    "none",
                    "sum(shippyard_schema_drift_objects{@})",
                    Step(1, "orange"),
                ),
                light(
                    "Rehearsed",
                    "Since a rehearsal last passed.",
                    "s",
                    "min(time() - shippyard_rehearsal_last_success_timestamp_seconds{@})",
                    base="text",
                ),
            ),
        ),
        Row(
            "Runs",
            (
                chart(
                    "Runs by outcome",
                    "Within an hour.",
                    "none",
                    Ask(
                        "sum by (database, outcome)"
                        " (increase(shippyard_migration_runs_total{@}[1h]))",
                        "{{database}} {{outcome}}",
                    ),
                ),
                chart(
                    "Gates that blocked",
                    "Runs that were not let through, by gate.",
                    "none",
                    Ask(
                        "sum by (database, gate)"
                        " (increase(shippyard_migration_blocked_total{@}[1h]))",
                        "{{database}} {{gate}}",
                    ),
                ),
                chart(
                    "Gave way to the application",
                    "Attempts given up because a lock was not free, and statements cancelled"
                    " because somebody waited for them.",
                    "none",
                    Ask(
                        "sum by (database) (increase(shippyard_migration_lock_retries_total{@}"
                        "[$__rate_interval]))",
                        "{{database}} lock not free",
                    ),
                    Ask(
                        "sum by (database) (increase(shippyard_migration_watchdog_cancels_total{@}"
                        "[$__rate_interval]))",
                        "{{database}} cancelled",
                    ),
                ),
                chart(
                    "Since a run ended well",
                    "By database.",
                    "s",
                    Ask(
                        "time() - shippyard_migration_last_success_timestamp_seconds{@}",
                        "{{database}}",
                    ),
                ),
            ),
        ),
        Row(
            "Before and after",
            (
                chart(
                    "Rehearsals",
                    "On a restored backup, by outcome, within an hour.",
                    "none",
                    Ask(
                        "sum by (database, outcome)"
                        " (increase(shippyard_rehearsal_runs_total{@}[1h]))",
                        "{{database}} {{outcome}}",
                    ),
                ),
                chart(
                    "How long a rehearsal takes",
                    "Its restore included.",
                    "s",
                    Ask("shippyard_rehearsal_last_duration_seconds{@}", "{{database}}"),
                ),
                chart(
                    "Schema drift",
                    "Objects that are not as the last run left them.",
                    "none",
                    Ask("max by (database) (shippyard_schema_drift_objects{@})", "{{database}}"),
                ),
                chart(
                    "Backfills",
                    "Rows done, and left as estimated.",
                    "none",
                    Ask("shippyard_backfill_rows{@}", "{{database}} {{backfill}} done"),
                    Ask("shippyard_backfill_left_rows{@}", "{{database}} {{backfill}} left"),
                ),
                chart(
                    "Blocked sessions",
                    "While it ran: sessions that waited for a lock.",
                    "none",
                    Ask("shippyard_health_blocked_sessions{@}", "{{cluster}}"),
                ),
                chart(
                    "Lock waits",
                    "While it ran: how long the longest waited.",
                    "s",
                    Ask("shippyard_health_longest_lock_wait_seconds{@}", "{{cluster}}"),
                ),
            ),
        ),
    ),
)
