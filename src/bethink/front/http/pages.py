"""/docs: the API described for people. Everything it needs comes from this server; no browser asks anybody else."""

from __future__ import annotations

import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import Response

routes = APIRouter(include_in_schema=False)
_KINDS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon.png": "image/png"}
_DAY = "private, max-age=86400"


@cache
def _part(name: str) -> bytes:
    return (files("fastapi_offline") / "static" / name).read_bytes()


@cache
def _page() -> tuple[bytes, str]:
    """The page, and the policy under which a browser runs the one script in it."""
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="Bethink",
        swagger_js_url="/docs/swagger-ui-bundle.js",
        swagger_css_url="/docs/swagger-ui.css",
        swagger_favicon_url="/docs/favicon.png",
        # Its badge would tell a stranger's server where this one is.
        swagger_ui_parameters={"validatorUrl": None},
    )
    body = bytes(page.body)
    scripts = re.findall(rb"<script>(.*?)</script>", body, re.DOTALL)
    hashes = " ".join(f"'sha256-{b64encode(sha256(script).digest()).decode()}'" for script in scripts)
    policy = (
        f"default-src 'none'; connect-src 'self'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; frame-ancestors 'none'"
    )
    return body, policy


@routes.get("/docs")
def docs() -> Response:
    """The page."""
    body, policy = _page()
    return Response(body, media_type="text/html", headers={"Content-Security-Policy": policy})


@routes.get("/docs/swagger-ui-bundle.js")
def script() -> Response:
    return _static("swagger-ui-bundle.js")


@routes.get("/docs/swagger-ui.css")
def style() -> Response:
    return _static("swagger-ui.css")


@routes.get("/docs/favicon.png")
def icon() -> Response:
    return _static("favicon.png")


def _static(name: str) -> Response:
    return Response(_part(name), media_type=_KINDS[name], headers={"Cache-Control": _DAY})
