"""How alembic runs here: always on a connection it is given, inside the caller's transaction."""

from alembic import context

from oms.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
