"""Owns the page of locks and queries: who waits, for how long, and which statements cost."""

from grafana.source.limits import of_check
from grafana.source.model import Ask, Page, Row, Step, chart, light

STATEMENTS = "shippyard_health_statement"
BY_QUERY = "sum by (datname, queryid)"

PAGE = Page(
    "shippyard-locks",
    "Shippyard: locks and queries",
    "Who waits for whom is said by `shippyard ctl health blockers`, texts by `ctl health queries`.",
    (
        Row(
            "Does anybody wait?",
            (
                light(
                    "Blocked",
                    "Sessions that wait for another session's lock.",
                    "none",
                    "sum(shippyard_health_blocked_sessions{@})",
                    Step(1, "orange"),
                ),
                light(
                    "Roots",
                    "Sessions that others wait for and that themselves wait for nobody.",
                    "none",
                    "sum(shippyard_health_blocking_roots{@})",
                    Step(1, "orange"),
                ),
                light(
                    "Longest lock wait",
                    "Of all that wait now.",
                    "s",
                    "max(shippyard_health_longest_lock_wait_seconds{@})",
                    *of_check("blocked"),
                ),
                light(
                    "DDL that queues",
                    "Tables that DDL waits for; everybody after it waits too.",
                    "none",
                    "sum(shippyard_health_ddl_queue_tables{@})",
                    Step(1, "red"),
                ),
                light(
                    "Statements that run too long",
                    "Longer than the check's threshold, those that wait for locks not counted.",
                    "none",
                    "sum(shippyard_health_long_running_queries{@})",
                    Step(1, "orange"),
                ),
                light(
                    "Idle in a transaction",
                    "Longer than the check's threshold.",
                    "none",
                    "sum(shippyard_health_idle_in_transaction_sessions{@})",
                    Step(1, "orange"),
                ),
            ),
        ),
        Row(
            "Locks",
            (
                chart(
                    "Lock waits",
                    "How long the longest has waited.",
                    "s",
                    Ask("shippyard_health_longest_lock_wait_seconds{@}", "{{cluster}}"),
                    steps=of_check("blocked"),
                ),
                chart(
                    "Blocked sessions",
                    "All that wait, and how far the last is from its root.",
                    "none",
                    Ask("shippyard_health_blocked_sessions{@}", "{{cluster}} blocked"),
                    Ask("shippyard_health_blocking_depth{@}", "{{cluster}} depth"),
                    Ask("shippyard_health_blocking_root_most_victims{@}", "most behind one"),
                ),
                chart(
                    "Behind DDL",
                    "Sessions that wait only because DDL is ahead of them.",
                    "none",
                    Ask("shippyard_health_ddl_queue_sessions_behind{@}", "{{cluster}}"),
                ),
                chart(
                    "Locks by mode",
                    "Held and waited for, of all sessions.",
                    "none",
                    Ask(
                        "sum by (mode, state) (shippyard_health_locks{@})",
                        "{{mode}} {{state}}",
                    ),
                ),
                chart(
                    "Deadlocks",
                    "Ended by PostgreSQL; one side of each saw an error.",
                    "none",
                    Ask(
                        "sum by (datname) (increase(shippyard_health_database_deadlocks_total{@}"
                        "[$__rate_interval]))",
                        "{{datname}}",
                    ),
                ),
                chart(
                    "Oldest transaction",
                    "Open or prepared, by database.",
                    "s",
                    Ask(
                        "max by (datname) (shippyard_health_longest_transaction_seconds{@})",
                        "{{datname}}",
                    ),
                    steps=of_check("transaction_open_for_hours"),
                ),
                chart(
                    "Prepared transactions",
                    "Age of the oldest, and how many there are.",
                    "s",
                    Ask(
                        "max by (datname)"
                        " (shippyard_health_oldest_prepared_transaction_seconds{@})",
                        "{{datname}}",
                    ),
                    steps=of_check("prepared_forgotten"),
                ),
                chart(
                    "Idle in a transaction",
                    "How long the one that has idled longest has.",
                    "s",
                    Ask("shippyard_health_idle_in_transaction_max_age_seconds{@}", "{{cluster}}"),
                ),
                chart(
                    "What is under way",
                    "Index builds, vacuums and base backups, as far as they are done.",
                    "percentunit",
                    Ask(
                        "shippyard_health_progress_done_ratio{@}",
                        "{{op}} in {{datname}}",
                    ),
                ),
            ),
        ),
        Row(
            "Statements",
            (
                chart(
                    "Time by statement",
                    "Seconds of execution each second; `other` is all that are not among the top.",
                    "s",
                    Ask(
                        f"topk(10, {BY_QUERY} (rate({STATEMENTS}_seconds_total{{@}}"
                        "[$__rate_interval])))",
                        "{{datname}} {{queryid}}",
                    ),
                ),
                chart(
                    "Calls by statement",
                    "Executions each second.",
                    "ops",
                    Ask(
                        f"topk(10, {BY_QUERY} (rate({STATEMENTS}_calls_total{{@}}"
                        "[$__rate_interval])))",
                        "{{datname}} {{queryid}}",
                    ),
                ),
                chart(
                    "Mean time of a call",
                    "Of the statements that cost the most.",
                    "s",
                    Ask(
                        f"topk(10, {BY_QUERY} (rate({STATEMENTS}_seconds_total{{@}}"
                        f"[$__rate_interval])) / {BY_QUERY} (rate({STATEMENTS}_calls_total{{@}}"
                        "[$__rate_interval])))",
                        "{{datname}} {{queryid}}",
                    ),
                ),
                chart(
                    "Blocks read by statement",
                    "From outside of shared buffers, each second.",
                    "ops",
                    Ask(
                        f"topk(10, {BY_QUERY} (rate({STATEMENTS}_blocks_read_total{{@}}"
                        "[$__rate_interval])))",
                        "{{datname}} {{queryid}}",
                    ),
                ),
                chart(
                    "Temporary files",
                    "Bytes that sorts and hashes write to disk.",
                    "Bps",
                    Ask(
                        "sum by (datname) (rate(shippyard_health_database_temp_bytes_total{@}"
                        "[$__rate_interval]))",
                        "{{datname}}",
                    ),
                ),
                chart(
                    "Long-running statements",
                    "How long the longest has run.",
                    "s",
                    Ask("shippyard_health_long_running_query_max_age_seconds{@}", "{{cluster}}"),
                ),
            ),
        ),
        Row(
            "Tables and indexes",
            (
                chart(
                    "Waiting for vacuum",
                    "Dead rows, of those at which autovacuum begins.",
                    "percentunit",
                    Ask(
                        "topk(10, shippyard_health_table_vacuum_pressure_ratio{@})",
                        "{{database}} {{relation}}",
                    ),
                ),
                chart(
                    "Bloat",
                    "Room that a table's rows don't need, estimated.",
                    "percentunit",
                    Ask("shippyard_health_table_bloat_ratio{@}", "{{database}} {{relation}}"),
                    steps=of_check("table_bloated"),
                ),
                chart(
                    "Sequences",
                    "Values used, of those that there are.",
                    "percentunit",
                    Ask("shippyard_health_sequence_used_ratio{@}", "{{database}} {{relation}}"),
                    steps=of_check("sequence_high") + of_check("sequence_ending"),
                ),
                chart(
                    "Largest tables",
                    "Without indexes and TOAST, as of their last vacuum or analyze.",
                    "bytes",
                    Ask(
                        "topk(10, shippyard_health_table_heap_bytes{@})",
                        "{{database}} {{relation}}",
                    ),
                ),
                chart(
                    "Indexes that nobody needs",
                    "Unused, the same twice, or INVALID.",
                    "none",
                    Ask("shippyard_health_unused_indexes{@}", "{{database}} unused"),
                    Ask("shippyard_health_duplicate_indexes{@}", "{{database}} twice"),
                    Ask("shippyard_health_invalid_indexes{@}", "{{database}} INVALID"),
                ),
                chart(
                    "Sequential scans",
                    "By table, each second.",
                    "ops",
                    Ask(
                        "topk(10, rate(shippyard_health_table_sequential_scans_total{@}[1h]))",
                        "{{database}} {{relation}}",
                    ),
                ),
            ),
        ),
    ),
)
