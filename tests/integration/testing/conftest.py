"""The fixtures under test, as a team would name them."""

from shippyard.testing.fixtures import (
    shippyar_database,
    shippyar_databases,
    shippyar_migrations,
    shippyar_processes,
    shippyar_server,
    shippyar_suite_database,
    shippyar_template,
)

__all__ = [
    "shippyar_database",
    "shippyar_databases",
    "shippyar_migrations",
    "shippyar_processes",
    "shippyar_server",
    "shippyar_suite_database",
    "shippyar_template",
]
