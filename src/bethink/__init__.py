"""Bethink: lasting memory for AI assistants."""
