"""Memories in one local SQLite file."""

from bethink.stores.sqlite.store import SQLiteStore

__all__ = ["SQLiteStore"]
