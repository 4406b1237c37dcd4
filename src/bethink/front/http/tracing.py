"""Traces for whoever collects them: OpenTelemetry's API, which does nothing until a collector is configured."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import propagate, trace

_log = logging.getLogger("bethink.api")
_tracer = trace.get_tracer("bethink")


def configure() -> None:
    """Sends spans to OTEL_EXPORTER_OTLP_ENDPOINT, when that is set and the SDK is installed."""
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        _log.warning("OTEL_EXPORTER_OTLP_ENDPOINT needs opentelemetry-sdk and opentelemetry-exporter-otlp-proto-http")
        return
    provider = TracerProvider(resource=Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", "bethink")}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def end() -> None:
    """Sends what was not sent yet. uvicorn ends the process by the signal that it got, and nothing that waits for an orderly end runs."""
    shutdown = getattr(trace.get_tracer_provider(), "shutdown", None)
    if shutdown is not None:
        shutdown()


@contextmanager
def span(method: str, headers: Mapping[str, str], request_id: str) -> Iterator[Any]:
    """A span around one request, below the one that its headers name."""
    parent = propagate.extract(dict(headers))
    with _tracer.start_as_current_span(method, parent, kind=trace.SpanKind.SERVER) as current:
        current.set_attribute("http.request.method", method)
        current.set_attribute("bethink.request_id", request_id)
        yield current


@contextmanager
def stage(name: str) -> Iterator[None]:
    """A span around a part of the work on a request."""
    with _tracer.start_as_current_span(name):
        yield


def finish(current: Any, route: str, status: int) -> None:
    """Notes what became of the request."""
    current.update_name(f"{current.name if hasattr(current, 'name') else 'HTTP'} {route}")
    current.set_attribute("http.route", route)
    current.set_attribute("http.response.status_code", status)
