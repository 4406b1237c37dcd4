"""Memories of a team in PostgreSQL with pgvector."""

from bethink.stores.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
