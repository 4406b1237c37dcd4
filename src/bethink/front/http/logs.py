"""The request log: one line a request, for people or as JSON. It never holds a key, a query or a content."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from urllib.parse import quote

NAME = "bethink.api"
_log = logging.getLogger(NAME)
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
#: Longest part of a path that is logged.
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Line:
    """What is said of one request."""

    method: str
    path: str
    status: int
    milliseconds: float
    ip: str
    user: str
    request: str


def write(line: Line) -> None:
    """Logs one request."""
    _log.info("request", extra={"line": line})


class TextFormat(logging.Formatter):
    """``2026-01-31 12:34:56 | bethink.api | INFO | POST /api/memories | 201 | 45.2ms | ip=… user=… request=…``"""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(record.created))
        line: Line | None = getattr(record, "line", None)
        if line is None:
            said = super().format(record)
            return f"{at} | {record.name} | {record.levelname} | {said}"
        return (
            f"{at} | {record.name} | {record.levelname} | {plain(line.method)} {plain(line.path)} | {line.status} | "
            f"{line.milliseconds:.1f}ms | ip={plain(line.ip)} user={plain(line.user)} request={plain(line.request)}"
        )


class JsonFormat(logging.Formatter):
    """The same as one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        shape: dict[str, object] = {"time": at, "logger": record.name, "level": record.levelname}
        line: Line | None = getattr(record, "line", None)
        if line is not None:
            return json.dumps({**shape, **asdict(line), "milliseconds": round(line.milliseconds, 1)})
        shape["message"] = record.getMessage()
        if record.exc_info:
            shape["trace"] = self.formatException(record.exc_info)
        return json.dumps(shape)


def plain(value: str) -> str:
    """A value that cannot break a line or pretend to be another field."""
    return _UNPRINTABLE.sub("?", quote(value, safe="/:@.-_~%!$&'()*+,;=[]"))[:_SHOWN]


def configure(form: str) -> None:
    """Logs to stderr, as text or as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormat() if form == "json" else TextFormat())
    for name in (NAME, "bethink"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False
    # The database's absence is said by answers and by /health; the pool would say it many times a second.
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)


def say(message: str) -> None:
    """Logs a sentence about the server itself."""
    _log.info("%s", message)
