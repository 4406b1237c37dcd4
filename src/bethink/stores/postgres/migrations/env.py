"""Alembic's entry: runs the migrations on the connection that `schema.migrate` hands over, or prints them as SQL."""

from __future__ import annotations

from alembic import context

configuration = context.config
if context.is_offline_mode():
    context.configure(dialect_name="postgresql", literal_binds=True, output_buffer=configuration.attributes.get("output"))
    with context.begin_transaction():
        context.run_migrations()
else:
    context.configure(connection=configuration.attributes["connection"])
    with context.begin_transaction():
        context.run_migrations()
