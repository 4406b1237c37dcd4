"""Every setting, and where its value came from."""

from __future__ import annotations

from pathlib import Path

import pytest

from bethink.config import SETTINGS, load, unknown_variables
from bethink.errors import ConfigError


def test_defaults(tmp_path: Path) -> None:
    settings = load(environment={"MEMORY_HOME": str(tmp_path)})
    assert settings.database == tmp_path / "memory.db" and settings.home == tmp_path
    assert settings["MEMORY_EMBEDDER"] == "onnx" and settings.origins["MEMORY_EMBEDDER"] == "default"
    assert settings.client
    assert set(settings.values) == {setting.name for setting in SETTINGS}


def test_the_nearer_source_wins(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text(
        "MEMORY_CONTEXT_TOKENS = 100\nMEMORY_HOOK_TOKENS = 100\nMEMORY_PROJECT = 'u'\nMEMORY_CLIENT_ID = 'u'\n"
    )
    (tmp_path / ".bethink.toml").write_text("MEMORY_CONTEXT_TOKENS = 200\nMEMORY_PROJECT = 'p'\n")
    environment = {"MEMORY_HOME": str(tmp_path / "home"), "MEMORY_CONTEXT_TOKENS": "300"}
    settings = load({"MEMORY_HOOK_TOKENS": 400}, environment, tmp_path)
    assert [settings[name] for name in ("MEMORY_HOOK_TOKENS", "MEMORY_CONTEXT_TOKENS", "MEMORY_PROJECT", "MEMORY_CLIENT_ID")] == [
        400,
        300,
        "p",
        "u",
    ]
    origins = [settings.origins[name] for name in ("MEMORY_HOOK_TOKENS", "MEMORY_CONTEXT_TOKENS", "MEMORY_PROJECT", "MEMORY_CLIENT_ID")]
    assert origins == ["flag", "environment", str(tmp_path / ".bethink.toml"), str(tmp_path / "home" / "config.toml")]


def test_empty_means_not_set(tmp_path: Path) -> None:
    settings = load({"MEMORY_PROJECT": None}, {"MEMORY_HOME": str(tmp_path), "MEMORY_PROJECT": "", "MEMORY_DB": ""})
    assert settings["MEMORY_PROJECT"] is None and settings.database == tmp_path / "memory.db"


@pytest.mark.parametrize("harmful", [s.name for s in SETTINGS if not s.project_may_set])
def test_a_project_may_not_send_memories_elsewhere(tmp_path: Path, harmful: str) -> None:
    (tmp_path / ".bethink.toml").write_text(f'{harmful} = "1"\n')
    with pytest.raises(ConfigError, match=f"may not set {harmful}") as caught:
        load(environment={"MEMORY_HOME": str(tmp_path)}, project_root=tmp_path)
    assert "config.toml" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MEMORY_CONTEXT_TOKENS", "many", "not a whole number"),
        ("GUARD_NOOP_THRESHOLD", "high", "not a number"),
        ("MEMORY_OFF", "perhaps", "not 1 or 0"),
        ("MEMORY_SYNC_INTERVAL", "-5", "less than 1"),
        ("MEMORY_SYNC_INTERVAL", "0", "less than 1"),
    ],
)
def test_what_cannot_be_understood(tmp_path: Path, name: str, value: str, said: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is '{value}' .environment., which is {said}"):
        load(environment={"MEMORY_HOME": str(tmp_path), name: value})


@pytest.mark.parametrize("content", ["MEMORY_OFF = ", "= 1", "\udcff".encode("utf-8", "surrogateescape").decode("latin-1"), "[a\n"])
def test_a_broken_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.toml").write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"config\.toml"):
        load(environment={"MEMORY_HOME": str(tmp_path)})


def test_flags(tmp_path: Path) -> None:
    for word, meant in {"1": True, "true": True, "YES": True, "on": True, "0": False, "False": False, "no": False, "off": False}.items():
        assert load(environment={"MEMORY_HOME": str(tmp_path), "MEMORY_OFF": word})["MEMORY_OFF"] is meant


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    value = "hunter" + "2"
    settings = load(environment={"MEMORY_HOME": str(tmp_path), "MEMORY_ENCRYPTION_KEY": value})
    assert settings["MEMORY_ENCRYPTION_KEY"] == value
    assert value not in settings.shown("MEMORY_ENCRYPTION_KEY")
    assert load(environment={"MEMORY_HOME": str(tmp_path)}).shown("MEMORY_ENCRYPTION_KEY") == ""


def test_unknown_names_are_told() -> None:
    assert unknown_variables({"MEMORY_HOMEE": "x", "MEMORY_HOME": "x", "PATH": "x", "GUARD_X": "1"}) == ("GUARD_X", "MEMORY_HOMEE")


def test_a_tilde_is_the_users_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert load(environment={"MEMORY_HOME": "~/here"}).home == tmp_path / "here"
    assert load(environment={}).home == tmp_path / ".bethink"
