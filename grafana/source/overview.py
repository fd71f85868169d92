"""Owns the first page: is it healthy, do the backups restore, are the migrations safe?"""

from grafana.source.limits import of_check, of_rule
from grafana.source.model import Ask, Page, Panel, Row, Step, chart, light

RED_BELOW_1 = Step(1, "green")

PAGE = Page(
    "shippyard-overview",
    "Shippyard: overview",
    "Do the backups restore, are the migrations safe, is the database healthy? Lights first.",
    (
        Row(
            "Is all well?",
            (
                light(
                    "Shippyard",
                    "1 when every daemon that is scraped answers.",
                    "none",
                    "min(up{@daemon})",
                    RED_BELOW_1,
                    base="red",
                ),
                light(
                    "Databases",
                    "1 when every database answers its daemon.",
                    "none",
                    "min(shippyard_health_database_up{@})",
                    RED_BELOW_1,
                    base="red",
                ),
                light(
                    "Incidents firing",
                    "What somebody was told of and is not over.",
                    "none",
                    'sum(shippyard_alerting_incidents{@daemon, state="firing"})',
                    Step(1, "red"),
                ),
                light(
                    "Blocked",
                    "Sessions that wait for another session's lock now.",
                    "none",
                    "sum(shippyard_health_blocked_sessions{@})",
                    Step(1, "orange"),
                ),
                light(
                    "Longest lock wait",
                    "How long the one that has waited longest has waited.",
                    "s",
                    "max(shippyard_health_longest_lock_wait_seconds{@})",
                    *of_check("blocked"),
                ),
                light(
                    "Connections in use",
                    "Of those that ordinary roles may have.",
                    "percentunit",
                    "max(shippyard_health_connections_used_ratio{@})",
                    *of_check("connections_near_limit"),
                ),
                light(
                    "Backups: oldest newest dump",
                    "Age of the newest dump of the database that has waited longest.",
                    "s",
                    'max(time() - shippyard_backup_last_success_timestamp_seconds{@, kind="dump"})',
                    *of_rule("ShippyardBackupLate"),
                ),
                light(
                    "Backups: since one was proven",
                    "Since a backup was last restored and found equal, at worst.",
                    "s",
                    "max(time() - shippyard_backup_drill_last_success_timestamp_seconds{@kept})",
                    *of_rule("ShippyardDrillOverdue"),
                ),
                light(
                    "Backups failed, 24 h",
                    "Backups that ended without being published.",
                    "none",
                    'sum(increase(shippyard_backup_runs_total{@kept, outcome="failed"}[24h]))',
                    *of_rule("ShippyardBackupFailed"),
                ),
                light(
                    "Migrations running",
                    "Runs under way now.",
                    "none",
                    "sum(shippyard_migration_running{@})",
                    Step(1, "blue"),
                ),
                light(
                    "Migrations failed, 24 h",
                    "Runs that ended without being done, or were taken back.",
                    "none",
                    "sum(increase(shippyard_migration_runs_total"
                    '{@, outcome=~"failed|rolled_back"}[24h]))',
                    Step(1, "red"),
                ),
                light(
                    "Schemas that drifted",
                    "Objects that are not as the last run left them.",
                    "none",
                    "sum(shippyard_schema_drift_objects{@})",
                    Step(1, "orange"),
                ),
            ),
        ),
        Row(
            "Is the database healthy?",
            (
                chart(
                    "Transactions",
                    "Committed and rolled back, by database.",
                    "ops",
                    Ask(
                        "sum by (datname) (rate(shippyard_health_database_commits_total"
                        '{@, datname!="(shared)"}[$__rate_interval]))',
                        "{{datname}} committed",
                    ),
                    Ask(
                        "sum by (datname) (rate(shippyard_health_database_rollbacks_total"
                        '{@, datname!="(shared)"}[$__rate_interval]))',
                        "{{datname}} rolled back",
                    ),
                ),
                chart(
                    "Sessions by state",
                    "Client sessions of all databases.",
                    "none",
                    Ask("sum by (state) (shippyard_health_connections{@})", "{{state}}"),
                ),
                chart(
                    "Cache hits",
                    "Blocks found in shared buffers, of those asked for.",
                    "percentunit",
                    Ask(
                        "sum by (datname) (rate(shippyard_health_database_blocks_hit_total{@}"
                        "[$__rate_interval])) / (sum by (datname) (rate("
                        "shippyard_health_database_blocks_hit_total{@}[$__rate_interval]))"
                        " + sum by (datname) (rate(shippyard_health_database_blocks_read_total{@}"
                        "[$__rate_interval])))",
                        "{{datname}}",
                    ),
                ),
                chart(
                    "Size of databases",
                    "With all their tables, indexes and free space in them.",
                    "bytes",
                    Ask("shippyard_health_database_size_bytes{@}", "{{datname}}"),
                ),
                chart(
                    "Transaction ids in use",
                    "Of those after which the server takes no writes.",
                    "percentunit",
                    Ask("shippyard_health_wraparound_used_ratio{@}", "{{datname}}"),
                    steps=of_check("wraparound_near"),
                ),
                chart(
                    "What holds back vacuum",
                    "Transactions since the oldest snapshot was taken, by who holds it.",
                    "short",
                    Ask(
                        "max by (kind) (shippyard_health_xmin_age_transactions{@})",
                        "{{kind}}",
                    ),
                    steps=of_check("vacuum_held_back"),
                ),
                chart(
                    "Replication lag",
                    "How far receivers are behind, and this server when it is a standby.",
                    "s",
                    Ask(
                        "shippyard_health_replication_replay_lag_seconds{@}",
                        "{{application_name}}",
                    ),
                    Ask("shippyard_health_standby_replay_delay_seconds{@}", "this standby"),
                    steps=of_check("replica_lagging"),
                ),
                chart(
                    "Input and output",
                    "Bytes that backends read and write; PostgreSQL 16 and later tell it.",
                    "Bps",
                    Ask(
                        "sum by (backend) (rate(shippyard_health_io_read_bytes_total{@}"
                        "[$__rate_interval]))",
                        "{{backend}} reads",
                    ),
                    Ask(
                        "sum by (backend) (rate(shippyard_health_io_write_bytes_total{@}"
                        "[$__rate_interval]))",
                        "{{backend}} writes",
                    ),
                ),
                chart(
                    "Checkpoints",
                    "Those that were due, and those that WAL forced.",
                    "none",
                    Ask(
                        "sum by (cluster) (increase(shippyard_health_checkpoints_timed_total{@}"
                        "[1h]))",
                        "{{cluster}} due",
                    ),
                    Ask(
                        "sum by (cluster) (increase("
                        "shippyard_health_checkpoints_requested_total{@}[1h]))",
                        "{{cluster}} forced",
                    ),
                ),
            ),
        ),
        Row(
            "The daemon itself",
            (
                chart(
                    "How long checks take",
                    "The newest run of each, in whichever database it took longest.",
                    "s",
                    Ask(
                        "max by (check) (shippyard_health_check_duration_seconds{@})",
                        "{{check}}",
                    ),
                ),
                chart(
                    "Checks that gave no answer",
                    "By kind of error; a check that lacks a right or an extension is not asked.",
                    "none",
                    Ask(
                        "sum by (database, check, error) (increase("
                        "shippyard_health_check_errors_total{@}[$__rate_interval])) > 0",
                        "{{database}} {{check}} {{error}}",
                    ),
                    Ask(
                        "shippyard_health_check_unavailable{@}",
                        "{{database}} {{check}} lacks {{reason}}",
                    ),
                ),
                chart(
                    "Memory",
                    "Resident memory of the daemon.",
                    "bytes",
                    Ask("process_resident_memory_bytes{@daemon}", "{{instance}}"),
                ),
                chart(
                    "Processor",
                    "Of one core.",
                    "percentunit",
                    Ask(
                        "rate(process_cpu_seconds_total{@daemon}[$__rate_interval])",
                        "{{instance}}",
                    ),
                ),
                chart(
                    "Messages",
                    "Deliveries by route and outcome, and what waits.",
                    "none",
                    Ask(
                        "sum by (route, outcome) (increase(shippyard_alerting_deliveries_total"
                        "{@daemon}[$__rate_interval]))",
                        "{{route}} {{outcome}}",
                    ),
                    Ask(
                        "sum by (route) (shippyard_alerting_outbox_messages{@daemon})",
                        "{{route}} waiting",
                    ),
                ),
                Panel(
                    "Jobs",
                    "When each scheduled job last ended well, and when it is next due.",
                    "dateTimeAsIso",
                    (
                        Ask(
                            "max by (job_name) (shippyard_job_last_success_timestamp_seconds"
                            "{@daemon}) * 1000",
                            "last done",
                        ),
                        Ask(
                            "max by (job_name) (shippyard_job_next_due_timestamp_seconds"
                            "{@daemon}) * 1000",
                            "next due",
                        ),
                    ),
                    kind="table",
                ),
            ),
        ),
    ),
)
