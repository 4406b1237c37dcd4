"""/api/memories/sync and /api/sync: replicas push and pull changes here."""

from __future__ import annotations

from bethink.front.http.deps import router

routes = router("sync")
