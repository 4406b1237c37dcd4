"""Every setting, and where its value came from: flag > environment > project file > user file > default.

On the hook path: plain classes and tuples, as building dataclasses costs 8 ms at every prompt.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from bethink.errors import ConfigError

Kind = Literal["text", "secret", "path", "int", "float", "flag"]


class Setting(NamedTuple):
    """One row of the table."""

    name: str
    default: Any
    help: str
    kind: Kind = "text"
    aliases: tuple[str, ...] = ()
    #: A file in a project may set it: only what cannot send memories elsewhere or open them to others.
    project_may_set: bool = False
    #: The smallest number that makes sense.
    least: int | None = None


SETTINGS: tuple[Setting, ...] = (
    Setting("MEMORY_HOME", "~/.bethink", "Folder of the store, the keys, the spool and the logs.", "path"),
    Setting("MEMORY_DB", None, "The SQLite file; `memory.db` in MEMORY_HOME unless set.", "path"),
    Setting("MEMORY_PROJECT", None, "Project to use instead of the one found from git.", project_may_set=True),
    Setting("MEMORY_CLIENT_ID", None, "Name of this machine in what it stores; the host name unless set."),
    Setting("MEMORY_USER", "local", "Owner of what is stored locally."),
    Setting("MEMORY_EMBEDDER", "onnx", "onnx (built in), openai, ollama, tei, or none for keywords only."),
    Setting("MEMORY_EMBEDDER_URL", None, "Address of a remote embedder."),
    Setting("MEMORY_EMBEDDER_MODEL", None, "Model of a remote embedder."),
    Setting("MEMORY_EMBEDDER_KEY", None, "Key for a remote embedder.", "secret"),
    Setting("MEMORY_TOKEN_VECTORS", True, "Keep token vectors for reranking (0 saves about half of the disk space).", "flag"),
    Setting("MEMORY_CONTEXT_TOKENS", 800, "Budget of a brief, in tokens.", "int", project_may_set=True),
    Setting("MEMORY_OFF", False, "Nothing is recalled or captured unasked.", "flag", project_may_set=True),
    Setting("MEMORY_DEBUG", False, "Say on stderr what goes wrong inside `bethink mcp`.", "flag"),
    Setting("MEMORY_PRIVATE", False, "As MEMORY_OFF, and the assistant's memory tools refuse as well.", "flag", project_may_set=True),
    Setting("GUARD_NOOP_THRESHOLD", 0.92, "Similarity from which a new content is a restatement, unless it differs in a value.", "float"),
    Setting("GUARD_UPDATE_THRESHOLD", 0.75, "Similarity from which a new content may correct an old one.", "float"),
    Setting("MEMORY_SECRET_THRESHOLD", 0.6, "Least confidence from which a finding is sealed as a secret.", "float"),
    Setting("MEMORY_SECRET_ALLOW", None, "Comma-separated regular expressions that are never secrets.", project_may_set=False),
    Setting("MEMORY_ENCRYPTION_KEY", None, "Key for sealing, here and on the way: 64 hex digits or a passphrase.", "secret"),
    Setting("VAULT_ADDR", None, "Address of a Vault or OpenBao server for sealing, here and on the way."),
    Setting("VAULT_TOKEN", None, "Token for it.", "secret"),
    Setting("VAULT_ROLE", None, "Role for logging in with a Kubernetes service account."),
    Setting("VAULT_MOUNT", "secret", "Mount of the KV v2 engine."),
    Setting("VAULT_PREFIX", "bethink", "First part of the paths in it."),
    Setting("DATABASE_URL", None, "PostgreSQL for a team's server: postgresql://user@host/database.", "secret"),
    Setting("DATABASE_POOL", 10, "Most connections of one server process to PostgreSQL.", "int"),
    Setting("API_KEY", None, "The server's one key; its holder is MEMORY_USER.", "secret"),
    Setting("API_KEYS", None, 'Keys by user, as JSON: {"alice": "key"} or {"bot": {"key": …, "scopes": […], "project": …}}.', "secret"),
    Setting("OIDC_ISSUER", None, "OpenID provider whose tokens the server accepts; a bare domain means https.", aliases=("AUTH0_DOMAIN",)),
    Setting("OIDC_AUDIENCE", None, "Audience that tokens must name; several with commas.", aliases=("AUTH0_API_AUDIENCE",)),
    Setting("PUBLIC_URL", None, "The server's address as clients know it, such as https://memory.example.org."),
    Setting("ALLOWED_HOSTS", None, "Comma-separated Host headers that the server answers to, beside its own address."),
    Setting("CORS_ORIGINS", None, "Comma-separated origins whose pages may call the server."),
    Setting("RATE_LIMIT_WRITE", "30/minute", "Writes of one principal; 0 for no limit."),
    Setting("RATE_LIMIT_READ", "60/minute", "Reads of one principal; 0 for no limit."),
    Setting("RATE_LIMIT_SYNC", "1200/minute", "Requests of one principal's machines under /api/sync; 0 for no limit."),
    Setting("REDIS_URL", None, "Redis that several server processes count rate limits in; each counts for itself unless set.", "secret"),
    Setting("METRICS_TOKEN", None, "Token for /metrics; without it, only this machine may read them.", "secret"),
    Setting("LOG_FORMAT", "text", "The server's request log: text or json."),
    Setting(
        "MEMORY_API_URL",
        "http://127.0.0.1:8420",
        "The server that this machine's memories are kept equal with.",
        aliases=("CLAUDE_MEMORY_API_URL",),
    ),
    Setting("MEMORY_API_KEY", None, "Key for it. Set, it turns hybrid mode on.", "secret", aliases=("CLAUDE_MEMORY_API_KEY",)),
    Setting("MEMORY_SYNC_INTERVAL", 60, "Seconds between two rounds of replication; writes are sent at once.", "int", least=1),
    Setting("MEMORY_SYNC_DISABLE", False, "Keep nothing here: work on the server that MEMORY_API_KEY is for (http-only mode).", "flag"),
    Setting("MEMORY_SERVER", None, "Address of a server that `bethink mcp` passes everything on to, instead of a local store."),
    Setting("DEBUG_CLAUDE_MEMORY_HOOKS", False, "Log what hooks do to a file in MEMORY_HOME/logs.", "flag", project_may_set=True),
    Setting("DISABLE_CLAUDE_MEMORY_AUTO_APPROVE", False, "Ask before each memory tool call.", "flag", project_may_set=True),
    Setting("MEMORY_LEARN", True, "Learn from each turn; off keeps only what was said.", "flag", project_may_set=True),
    Setting("OLLAMA_URL", "http://localhost:11434/v1", "OpenAI-compatible endpoint for distilling, with /v1; Ollama's unless set."),
    Setting("DISTILL_MODEL", "qwen2.5:7b", "Model to distil with."),
    Setting("DISTILL_API_KEY", None, "Key for that endpoint.", "secret"),
    Setting("DISTILL_CLAUDE", False, "Ask `claude -p` (haiku) first, on your own subscription.", "flag"),
    Setting("DISTILL_WORKERS", 4, "Sessions that are distilled at once.", "int"),
    Setting("DISTILL_MIN_MESSAGES", 5, "Sessions with fewer messages are not distilled.", "int"),
    Setting("DISTILL_WINDOW_TOKENS", 6000, "Part of a session that is shown to the model at once.", "int"),
    Setting("DISTILL_MAX_TOKENS", 2_000_000, "Most tokens a day for distilling and learning.", "int"),
    Setting("DISTILL_TIMEOUT", 120, "Most seconds that one answer of a model may take.", "int"),
    Setting("MEMORY_HOOK_TOKENS", 600, "Most tokens that a prompt hook injects.", "int", project_may_set=True),
    Setting("MEMORY_HOOK_MS", 340, "Milliseconds after which a prompt hook gives up; only from the environment.", "int"),
    Setting("MEMORY_HOOK_ON_FAILURE", False, "Recall on the error text when a tool fails.", "flag", project_may_set=True),
)
_BY_NAME = {name: setting for setting in SETTINGS for name in (setting.name, *setting.aliases)}
#: Variables of other programs that begin alike are none of our business.
_PREFIXES = ("MEMORY_", "GUARD_", "CLAUDE_MEMORY_", "BETHINK_")
_NOT_SETTINGS = frozenset({"BETHINK_EVAL", "BETHINK_DEBUG", "BETHINK_CHILD", "MEMORY_HOOK_CHILD"})


class Settings:
    """The values in force. `origins` says for each name where its value came from."""

    __slots__ = ("origins", "unknown", "values")

    def __init__(self, values: Mapping[str, Any], origins: Mapping[str, str] | None = None, unknown: tuple[str, ...] = ()) -> None:
        self.values = values
        self.origins: Mapping[str, str] = origins if origins is not None else {}
        self.unknown = unknown

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    @property
    def home(self) -> Path:
        return Path(self.values["MEMORY_HOME"])

    @property
    def database(self) -> Path:
        return Path(self.values["MEMORY_DB"] or self.home / "memory.db")

    @property
    def client(self) -> str:
        import platform

        return self.values["MEMORY_CLIENT_ID"] or platform.node() or "unknown"

    @property
    def mode(self) -> str:
        """local; hybrid (a store here, kept equal with a server); or http-only (the server's store alone)."""
        if not self.values["MEMORY_API_KEY"] or self.values["DATABASE_URL"]:
            return "local"
        return "http-only" if self.values["MEMORY_SYNC_DISABLE"] else "hybrid"

    def shown(self, name: str) -> str:
        """A value for people; secrets are hidden."""
        value = self.values[name]
        if value is None:
            return ""
        return "********" if _BY_NAME[name].kind == "secret" else str(value)


def load(
    flags: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None, project_root: Path | None = None
) -> Settings:
    """Reads every setting.

    Args:
        flags: values given on the command line, by setting name; None values are not given.
        environment: instead of the process's.
        project_root: folder that may hold a `.bethink.toml`.

    Raises:
        ConfigError: a value cannot be understood.
    """
    env = os.environ if environment is None else environment
    values: dict[str, Any] = {setting.name: setting.default for setting in SETTINGS}
    origins = {setting.name: "default" for setting in SETTINGS}

    def take(found: Mapping[str, Any], origin: str, only_harmless: bool = False) -> None:
        for setting in SETTINGS:
            for name in (setting.name, *setting.aliases):
                value = found.get(name)
                if value is not None and value != "":
                    if only_harmless and not setting.project_may_set:
                        raise ConfigError(f"{origin} may not set {name}.", hint="Set it in the environment or in your own config.toml.")
                    values[setting.name] = _parsed(setting, value, origin)
                    origins[setting.name] = origin if name == setting.name else f"{origin} ({name})"
                    break

    home = Path(str((flags or {}).get("MEMORY_HOME") or env.get("MEMORY_HOME") or values["MEMORY_HOME"])).expanduser()
    take(_file(home / "config.toml"), str(home / "config.toml"))
    if project_root is not None:
        take(_file(project_root / ".bethink.toml"), str(project_root / ".bethink.toml"), only_harmless=True)
    take(env, "environment")
    take(flags or {}, "flag")
    for setting in SETTINGS:
        if setting.kind == "path" and values[setting.name] is not None:
            values[setting.name] = Path(str(values[setting.name])).expanduser().absolute()
    return Settings(MappingProxyType(values), MappingProxyType(origins), unknown_variables(env))


def unknown_variables(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Variables that look like ours and are not: most often a slip of the pen."""
    return tuple(sorted(name for name in environment if name.startswith(_PREFIXES) and name not in _BY_NAME and name not in _NOT_SETTINGS))


def _file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    import tomllib

    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"Cannot read {path}: {error}.") from error


def _parsed(setting: Setting, value: Any, origin: str) -> Any:
    found = _read(setting, value, origin)
    if setting.least is not None and found < setting.least:
        raise ConfigError(f"{setting.name} is {value!r} ({origin}), which is less than {setting.least}.")
    return found


def _read(setting: Setting, value: Any, origin: str) -> Any:
    try:
        match setting.kind:
            case "flag":
                return _flag(value)
            case "int":
                return int(value)
            case "float":
                return float(value)
            case _:
                return str(value)
    except ValueError:
        raise ConfigError(f"{setting.name} is {value!r} ({origin}), which is not {_expected(setting.kind)}.") from None


def _flag(value: Any) -> bool:
    plain = str(value).strip().lower()
    if plain in ("1", "true", "yes", "on"):
        return True
    if plain in ("0", "false", "no", "off", ""):
        return False
    raise ValueError(value)


def _expected(kind: Kind) -> str:
    return {"flag": "1 or 0", "int": "a whole number", "float": "a number"}.get(kind, "a text")
