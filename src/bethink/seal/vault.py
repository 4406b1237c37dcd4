"""Secrets kept in HashiCorp Vault or OpenBao, KV version 2.

Path ``{prefix}/{owner}/{memory id}`` under the mount; one key of the entry for each secret of the memory: its name, and
behind it ``#`` and a random number where another one of that name must not be lost. The store keeps only where it is.
``{prefix}/.wire/key`` holds the key for secrets on their way between machines.
"""

from __future__ import annotations

import base64
import contextlib
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bethink.errors import ConfigError, SealDenied, SealError, SealUnavailable
from bethink.seal.base import Health, Sealed

if TYPE_CHECKING:
    import hvac

T = TypeVar("T")

SERVICE_ACCOUNT_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
#: How often the token's remaining life is asked for.
_CHECK_SECONDS = 60.0
_WRITE_TRIES = 5
#: Below the prefix. No owner's path begins with a dot, see `path_part`.
_WIRE_KEY = ".wire/key"
_REPLICAS = ".replicas"


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """Where Vault is and how to log in: a token, or a Kubernetes service account with a role."""

    addr: str
    token: str | None = field(default=None, repr=False)
    role: str | None = None
    mount: str = "secret"
    prefix: str = "bethink"
    namespace: str | None = None
    #: False, True or the path of a CA bundle, as `requests` takes it.
    verify: bool | str = True
    kubernetes_mount: str = "kubernetes"
    token_file: Path = SERVICE_ACCOUNT_TOKEN
    #: Seconds to connect and to wait for an answer.
    timeout: tuple[float, float] = (2.0, 5.0)
    #: After Vault could not be reached, further calls fail at once for so many seconds: a burst of writes is not slow.
    rest: float = 5.0
    #: Name of a machine that replicates. It keeps its secrets apart: its server and others may use the same Vault.
    replica: str | None = None

    @property
    def root(self) -> str:
        """The path below which secrets are put."""
        prefix = self.prefix.strip("/")
        return "/".join([prefix, _REPLICAS, path_part(self.replica)]) if self.replica else prefix


def path_part(value: str) -> str:
    """`value` as one segment of a path: letters, digits, ``_@+-`` and inner dots stay, every other byte becomes ``=XX``.

    No two values share a segment, and none is empty, ``.`` or ``..``.
    """
    safe = []
    for index, byte in enumerate(value.encode("utf-8", "surrogatepass")):
        c = chr(byte)
        plain = byte < 128 and (c.isalnum() or c in "_@+-" or (c == "." and index > 0))
        safe.append(c if plain else f"={byte:02X}")
    return "".join(safe) or "="


def _to_json(secret: str) -> str | dict[str, str]:
    try:
        secret.encode("utf-8")
    except UnicodeEncodeError:
        # Vault would replace a lone surrogate.
        return {"base64": base64.b64encode(secret.encode("utf-8", "surrogatepass")).decode("ascii")}
    return secret


def _from_json(value: Any) -> str:
    if isinstance(value, dict):
        return base64.b64decode(value["base64"]).decode("utf-8", "surrogatepass")
    return str(value)


def _field(name: str, meta: Mapping[str, Any]) -> str:
    """The key of the entry that a secret is under."""
    field = str(meta.get("field") or name)
    if field != name and not field.startswith(name + "#"):
        raise SealDenied("The stored place of this secret belongs to another secret.", hint="Restore the row from a backup.")
    return field


class VaultSeal:
    """Keeps secrets in Vault. Safe to use from several threads and processes (check-and-set writes)."""

    def __init__(self, settings: VaultSettings) -> None:
        if not settings.token and not settings.role:
            raise ConfigError(
                "VAULT_ADDR is set, but neither VAULT_TOKEN nor VAULT_ROLE.",
                hint="Give a token, or the role of the Kubernetes service account.",
            )
        self._settings = settings
        self._client: hvac.Client | None = None
        self._lock = threading.RLock()
        self._down_until = 0.0
        self._down_reason = ""
        self._check_at = 0.0

    @property
    def name(self) -> str:
        return "vault"

    def path(self, owner: str, memory: str) -> str:
        """Where the secrets of a memory are, below the mount."""
        return "/".join([self._settings.root, path_part(owner), path_part(memory)])

    def wire_key(self, *, make: bool) -> bytes | None:
        """The key of all who use this Vault and prefix, for secrets on their way between them; implements `shared.Place`.

        Made once, whoever asks first (check-and-set).

        Raises:
            SealUnavailable: Vault cannot be reached now.
            SealDenied: the token may not read it, or there is none and it may not make one; or what is there is no key.
        """
        mount, path = self._settings.mount, f"{self._settings.prefix.strip('/')}/{_WIRE_KEY}"
        try:
            entries, _ = self._call(lambda client: self._read(client, mount, path))
            if "key" not in entries and make:
                fresh = secrets.token_hex(32)
                entries = self._change(mount, path, lambda now: now if "key" in now else {**now, "key": fresh}) or {}
        except SealDenied as error:
            raise SealDenied(
                f"The key for secrets on the wire is out of reach: {error.message}",
                hint=f"Its policy must allow to create, read and update {mount}/data/{path}.",
            ) from None
        if "key" not in entries:
            return None
        if re.fullmatch(r"[0-9a-f]{64}", str(entries["key"])) is None:
            raise SealDenied(f"What Vault keeps at {mount}/{path} is no key.", hint="Delete it there; it is made anew.")
        return bytes.fromhex(str(entries["key"]))

    def seal(self, owner: str, memory: str, name: str, secret: str, *, apart: bool = False) -> Sealed:
        path = self.path(owner, memory)
        field = f"{name}#{secrets.token_hex(8)}" if apart else name
        self._change(self._settings.mount, path, lambda entries: {**entries, field: _to_json(secret)})
        meta = {"tier": "vault", "mount": self._settings.mount, "path": path}
        return Sealed("vault", b"", {**meta, "field": field} if apart else meta)

    def open(self, owner: str, memory: str, name: str, blob: bytes, meta: Mapping[str, Any]) -> str:
        mount, path = self._own_place(owner, memory, meta)
        field = _field(name, meta)
        entries, _ = self._call(lambda client: self._read(client, mount, path))
        if field not in entries:
            raise SealDenied(
                f"Vault holds no secret {name!r} for this memory.",
                hint=f"Look at {mount}/{path}; it may have been deleted there.",
            )
        return _from_json(entries[field])

    def erase(self, owner: str, memory: str, name: str, blob: bytes, meta: Mapping[str, Any]) -> None:
        mount, path = self._own_place(owner, memory, meta)
        if self._settings.replica and f"/{_REPLICAS}/" not in f"/{path}":
            # From the time before this machine replicated: its server may keep its own in the same place.
            return
        field = _field(name, meta)
        left = self._change(mount, path, lambda entries: {k: v for k, v in entries.items() if k != field}, only_if=field)
        if left is None:
            return

        def forget(client: hvac.Client) -> None:
            kv = client.secrets.kv.v2
            if not left:
                kv.delete_metadata_and_all_versions(path, mount_point=mount)
                return
            known = kv.read_secret_metadata(path, mount_point=mount)["data"]
            # Older versions still hold what was removed.
            old = [int(v) for v in known["versions"] if int(v) != known["current_version"]]
            if old:
                kv.destroy_secret_versions(path, old, mount_point=mount)

        self._call(forget)

    def is_current(self, meta: Mapping[str, Any]) -> bool:
        return (
            meta.get("tier") == "vault"
            and meta.get("mount") == self._settings.mount
            and str(meta.get("path", "")).startswith(self._settings.root + "/")
        )

    def healthy(self) -> Health:
        try:
            self._down_until = 0.0
            data = self._call(lambda client: client.auth.token.lookup_self()["data"])
        except SealError as error:
            return Health(False, error.message)
        ttl = int(data.get("ttl") or 0)
        life = f"token expires in {ttl} s" + (", renewable" if data.get("renewable") else "") if ttl else "token does not expire"
        return Health(True, f"Vault at {self._settings.addr}, {life}")

    def describe(self) -> dict[str, Any]:
        s = self._settings
        return {
            "tier": "vault",
            "addr": s.addr,
            "mount": s.mount,
            "prefix": s.prefix,
            "login": "kubernetes role " + s.role if s.role and not s.token else "token",
        }

    def _own_place(self, owner: str, memory: str, meta: Mapping[str, Any]) -> tuple[str, str]:
        """Mount and path. Both may have been configured anew since it was sealed; owner and id may not differ."""
        path = str(meta.get("path") or self.path(owner, memory))
        if not path.endswith(f"/{path_part(owner)}/{path_part(memory)}"):
            raise SealDenied("The stored place of this secret belongs to another memory.", hint="Restore the row from a backup.")
        return str(meta.get("mount") or self._settings.mount), path

    def _read(self, client: hvac.Client, mount: str, path: str) -> tuple[dict[str, Any], int]:
        """(entries, version); empty and the version to write over where there is none."""
        from hvac.exceptions import InvalidPath

        try:
            answer = client.secrets.kv.v2.read_secret_version(path, mount_point=mount, raise_on_deleted_version=False)
        except InvalidPath:
            return {}, 0
        data = answer["data"]
        return dict(data.get("data") or {}), int(data["metadata"]["version"])

    def _change(
        self, mount: str, path: str, change: Callable[[dict[str, Any]], dict[str, Any]], only_if: str | None = None
    ) -> dict[str, Any] | None:
        """Rewrites an entry; retried when somebody else wrote meanwhile. None when `only_if` is not in it."""
        from hvac.exceptions import InvalidRequest

        def once(client: hvac.Client) -> tuple[bool, dict[str, Any] | None]:
            entries, version = self._read(client, mount, path)
            if only_if is not None and only_if not in entries:
                return True, None
            changed = change(entries)
            if changed == entries:
                return True, changed
            try:
                client.secrets.kv.v2.create_or_update_secret(path, changed, cas=version, mount_point=mount)
            except InvalidRequest as error:
                if "check-and-set" in str(error):
                    return False, None
                raise
            return True, changed

        for _ in range(_WRITE_TRIES):
            done, result = self._call(once)
            if done:
                return result
        raise SealUnavailable("Others kept changing this secret in Vault.", hint="Nothing was lost; try again.")

    def _call(self, work: Callable[[hvac.Client], T]) -> T:
        """Runs `work` with a live token and translates what goes wrong; logs in once more where the token has run out."""
        import hvac.exceptions as vault
        import requests

        with self._lock:
            if time.monotonic() < self._down_until:
                raise SealUnavailable(self._down_reason)
            try:
                with self._translated(vault, requests):
                    client = self._logged_in()
                    try:
                        return work(client)
                    except vault.Forbidden:
                        if self._settings.token or not self._settings.role:
                            raise
                        self._client = None
                        return work(self._logged_in())
            except SealUnavailable as error:
                self._down_until = time.monotonic() + self._settings.rest
                self._down_reason = error.message
                raise

    @contextlib.contextmanager
    def _translated(self, vault: Any, requests: Any) -> Iterator[None]:
        addr, s = self._settings.addr, self._settings
        try:
            yield
        except (vault.Forbidden, vault.Unauthorized):
            self._check_at = 0.0
            rights = f"create, read, update, delete on {s.mount}/data/{s.prefix}/*, read and delete on …/metadata/…, update on …/destroy/…"
            hint = f"The token is wrong, has expired, or its policy does not allow {rights}."
            raise SealDenied(f"Vault at {addr} denied the request.", hint=hint) from None
        except vault.VaultDown:
            raise SealUnavailable(
                f"Vault at {addr} is sealed or in maintenance.", hint="Unseal it, then repeat; nothing was stored in the clear."
            ) from None
        except vault.InvalidPath:
            raise SealDenied(f"Vault at {addr} has no KV version 2 engine at {s.mount!r}.", hint="Check VAULT_MOUNT.") from None
        except (requests.ConnectionError, requests.Timeout):
            raise SealUnavailable(
                f"Vault at {addr} cannot be reached.", hint="Check VAULT_ADDR and the network; nothing was stored in the clear."
            ) from None
        except vault.VaultError as error:
            raise SealUnavailable(f"Vault at {addr} answered with an error ({type(error).__name__}).") from None
        except (requests.RequestException, ValueError, KeyError, TypeError) as error:
            raise SealUnavailable(f"What answers at {addr} is not Vault ({type(error).__name__}).", hint="Check VAULT_ADDR.") from None

    def _logged_in(self) -> hvac.Client:
        import hvac

        s = self._settings
        if self._client is None:
            client = hvac.Client(url=s.addr, token=s.token, timeout=s.timeout, verify=s.verify, namespace=s.namespace)
            if not s.token:
                self._log_in(client)
            self._client = client
            self._check_at = 0.0
        if time.monotonic() >= self._check_at:
            self._keep_alive(self._client)
        return self._client

    def _log_in(self, client: hvac.Client) -> None:
        from hvac.exceptions import Forbidden, InvalidRequest, Unauthorized

        s = self._settings
        try:
            client.auth.kubernetes.login(role=s.role, jwt=self._service_account(), mount_point=s.kubernetes_mount)
        except (Forbidden, InvalidRequest, Unauthorized):
            hint = f"Check VAULT_ROLE ({s.role}) and the login method at auth/{s.kubernetes_mount}."
            raise SealDenied(f"Vault at {s.addr} refused the login of the service account.", hint=hint) from None

    def _keep_alive(self, client: hvac.Client) -> None:
        """Renews the token in the second half of its life."""
        from hvac.exceptions import Forbidden, InvalidRequest

        try:
            data = client.auth.token.lookup_self()["data"]
        except Forbidden:
            # A token may be allowed to write secrets but not to look at itself; then nothing can be renewed.
            self._check_at = time.monotonic() + _CHECK_SECONDS
            return
        ttl, whole = int(data.get("ttl") or 0), int(data.get("creation_ttl") or data.get("ttl") or 0)
        if ttl and data.get("renewable") and ttl < whole / 2:
            with contextlib.suppress(Forbidden, InvalidRequest):
                ttl = int(client.auth.token.renew_self()["auth"]["lease_duration"])
        self._check_at = time.monotonic() + (min(_CHECK_SECONDS, ttl / 4) if ttl else _CHECK_SECONDS)

    def _service_account(self) -> str:
        try:
            # Read each time: Kubernetes replaces the file before the token runs out.
            return self._settings.token_file.read_text("ascii").strip()
        except (OSError, UnicodeError):
            raise SealDenied(
                f"There is no service account token at {self._settings.token_file}.",
                hint="VAULT_ROLE works inside Kubernetes; elsewhere give VAULT_TOKEN.",
            ) from None
