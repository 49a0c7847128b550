"""What Alembic runs to reach the database: the connection is open and in a transaction already."""

from alembic import context

from workers.migrations.environment import METADATA, render_item

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_item=render_item,
    compare_type=True,
    transactional_ddl=True,
)
context.run_migrations()
