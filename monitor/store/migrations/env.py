"""Runs migrations on the connection that `monitor.store.migrate` hands over."""

from alembic import context

from monitor.store.classes import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transaction_per_migration=False,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
