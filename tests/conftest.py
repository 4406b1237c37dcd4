"""What every test may ask for, and what no test may see: the settings of the person who runs it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# The same examples on every run and machine; HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
settings.register_profile("explore", deadline=None, max_examples=2_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

#: Variables that would change what Bethink does.
FOREIGN = (
    "MEMORY_", "CLAUDE_MEMORY_", "VAULT_", "AUTH0_", "OIDC_", "OLLAMA_", "DISTILL_", "GUARD_", "RATE_LIMIT_",
    "API_KEY", "DATABASE_URL", "CORS_ORIGINS", "EMBED_", "NO_COLOR", "FORCE_COLOR", "COLUMNS",
)  # fmt: skip

#: Where pip and npm keep their configuration and caches, which a change of HOME would hide.
REGISTRY = {
    "NPM_CONFIG_USERCONFIG": ".npmrc",
    "NPM_CONFIG_CACHE": ".npm",
    "PIP_CONFIG_FILE": ".config/pip/pip.conf",
    "PIP_CACHE_DIR": ".cache/pip",
}


@pytest.fixture(scope="session", autouse=True)
def _isolated(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No setting of this machine reaches a test or a process it starts, and no test reaches the user's own memory."""
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        del os.environ[name]
    # Components come from the registries that this machine is set up for, through its caches.
    own = Path.home()
    for name, place in REGISTRY.items():
        if name not in os.environ and (own / place).exists():
            os.environ[name] = str(own / place)
    user = tmp_path_factory.mktemp("user")
    os.environ["HOME"] = os.environ["USERPROFILE"] = str(user)
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        os.environ.pop(name, None)
    os.environ["MEMORY_HOME"] = str(user / "memory")
    # The keyring of a desktop session is the user's, too.
    os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
    os.environ["GIT_CONFIG_GLOBAL"] = os.devnull
    os.environ["GIT_CEILING_DIRECTORIES"] = str(tmp_path_factory.getbasetemp())


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh MEMORY_HOME that does not exist yet."""
    folder = tmp_path / "memory-home"
    monkeypatch.setenv("MEMORY_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def evaluation() -> Path:
    """The folder with evaluation data, which is never part of the repository."""
    given = os.environ.get("BETHINK_EVAL")
    folder = Path(given) if given else ROOT.parent / "shared" / "eval"
    if not folder.is_dir():
        pytest.skip(f"no evaluation data at {given or '../shared/eval'} (BETHINK_EVAL names the folder)")
    return folder
