"""Runs the state database's own revisions on the connection that `state.database` passes in."""

from alembic import context

from shippyard.state.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
