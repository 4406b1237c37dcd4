"""What the detector finds, what it leaves alone, and what redaction leaves behind."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bethink.errors import ConfigError
from bethink.seal.detect import PLACEHOLDER, Finding, Policy, redact, scan, scrub

ALNUM = string.ascii_letters + string.digits


def made(prefix: str, size: int, alphabet: str = ALNUM, seed: int = 1) -> str:
    """A made-up secret in an issuer's format; never the same text as a real one."""
    rng = random.Random(f"{prefix}{size}{seed}")
    while True:
        body = "".join(rng.choices(alphabet, k=size))
        if any(c.isdigit() for c in body) or not any(c.isdigit() for c in alphabet):
            return prefix + body


AWS = made("AKIA", 16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
PAT = made("ghp_", 36)
PASSWORD = made("", 12) + "!"


def kinds(text: str, policy: Policy | None = None) -> list[str]:
    return [f.kind for f in scan(text, policy or Policy())]


@pytest.mark.parametrize(
    ("kind", "text", "secret"),
    [
        ("aws-access-key-id", f"deploy with {AWS} today", AWS),
        ("github-pat", f"{PAT}", PAT),
        ("github-pat", f"key:{PAT}# gitleaks:allow", PAT),
        ("stripe-key", f"use {made('sk_' + 'live_', 24)}.", made("sk_" + "live_", 24)),
        ("slack-token", f"({made('xoxb-', 40)})", made("xoxb-", 40)),
        ("vault-token", f"VAULT_TOKEN={made('hvs.', 24)}", made("hvs.", 24)),
        ("npm-access-token", f"//registry/:_authToken={made('npm_', 36)}", made("npm_", 36)),
        ("anthropic-api-key", f"{made('sk-ant-' + 'api03-', 93)}AA", made("sk-ant-" + "api03-", 93) + "AA"),
        ("connection-string", f"postgres://app:{PASSWORD}@db.internal:5432/x?sslmode=require", PASSWORD),
        ("connection-string", f"amqp://u:p@{PASSWORD}@broker/v", f"p@{PASSWORD}"),
        ("connection-string", "redis://:" + "q8Zr" + "77pw@cache:6379", "q8Zr" + "77pw"),
        ("bearer-token", f"Authorization: Bearer {made('', 40)}", made("", 40)),
        ("basic-auth", "Authorization: Basic " + "YWRtaW46" + "czNjcjN0", "YWRtaW46" + "czNjcjN0"),
        ("api-key", f'"apiKey": "{made("", 32)}"', made("", 32)),
        ("token", f"token={made('', 32, 'abcdef0123456789')}", made("", 32, "abcdef0123456789")),
        ("password", f"password: {PASSWORD}", PASSWORD),
        ("password", f'db_password = "{PASSWORD}"', PASSWORD),
        ("password", "the password is " + "hunter" + "2", "hunter" + "2"),
        ("password", "PIN is " + "48" + "21", "48" + "21"),
        ("password", "Passphrase: " + "correct-horse-" + "battery-staple", "correct-horse-" + "battery-staple"),
        ("password", 'the passphrase is "' + "four words with spaces" + '"', "four words with spaces"),
        ("secret", f"secret={made('', 24)}", made("", 24)),
        ("api-key", f"SECRET_KEY={made('', 64, 'abcdef0123456789')}", made("", 64, "abcdef0123456789")),
        ("hex-key", f"the master key is {made('', 64, 'abcdef0123456789')}", made("", 64, "abcdef0123456789")),
    ],
)
def test_finds_a_secret_of_each_class(kind: str, text: str, secret: str) -> None:
    found = scan(text)
    assert [text[f.start : f.end] for f in found] == [secret]
    assert found[0].kind == kind
    assert 0.6 <= found[0].confidence <= 1


def test_a_private_key_goes_as_one_block() -> None:
    block = "\n".join(
        ["-----BEGIN RSA " + "PRIVATE KEY-----", *[made("", 64, seed=i) for i in range(12)], "-----END RSA " + "PRIVATE KEY-----"]
    )
    left, secrets = redact(f"before\n{block}\nafter", scan(f"before\n{block}\nafter"))
    assert left == "before\n[REDACTED:private_key]\nafter"
    assert secrets == [("private_key", block)]


def test_a_private_key_cut_off_in_the_middle_goes_too() -> None:
    lines = [made("", 64, seed=i) for i in range(4)]
    left, _ = redact(
        "-----BEGIN EC " + "PRIVATE KEY-----\n" + "\n".join(lines), scan("-----BEGIN EC " + "PRIVATE KEY-----\n" + "\n".join(lines))
    )
    assert not any(line in left for line in lines)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "reset the password flow",
        "The password must have at least 12 characters",
        "password is required",
        "password is 64 characters long",
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8 broke it",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "checksum = 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "id 3f2b8c1e-6a5d-4c1b-9a3e-1f2d3c4b5a69",
        "primary key: 3f2b8c1e-6a5d-4c1b-9a3e-1f2d3c4b5a69",
        '"integrity": "sha512-' + "Zm9vYmFy" * 10 + '=="',
        "![x](data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUgAA" * 20 + ")",
        "AKIA" + "IOSFODNN7EXAMPLE",
        "aws_secret_access_key=wJalrXUtnFEMI/K7MDENG/bPxRfiCY" + "EXAMPLEKEY",
        "API_KEY=${API_KEY}",
        "api_key: <your-key>",
        "password=changeme",
        "password = os.environ['DB_PASSWORD']",
        "password=$DB_PASSWORD",
        "token = get_token(user)",
        "postgres://user:password@localhost/db",
        "max_tokens=4096",
        "[REDACTED:github_pat] was sealed",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4kSvHn0kPq1tXo3cVbN3mQwErTy12Zs9aBcDeFgHi bob@laptop",
    ],
)
def test_leaves_look_alikes_alone(text: str) -> None:
    assert scan(text) == []


def test_placeholders_map_to_secrets_in_order() -> None:
    other = made("ghp_", 36, seed=2)
    text = f"a {PAT} b {other} c {PAT} d {AWS}"
    left, secrets = redact(text, scan(text))
    assert left == "a [REDACTED:github_pat] b [REDACTED:github_pat_2] c [REDACTED:github_pat] d [REDACTED:aws_access_key_id]"
    assert secrets == [("github_pat", PAT), ("github_pat_2", other), ("aws_access_key_id", AWS)]


def test_overlapping_findings_become_one() -> None:
    text = "x 0123456789 y"
    left, secrets = redact(text, [Finding("token", 2, 8, 0.7, "a"), Finding("api-key", 5, 12, 0.9, "b")])
    assert (left, secrets) == ("x [REDACTED:api_key] y", [("api_key", "0123456789")])


def test_a_secret_leaves_every_place_where_it_stands() -> None:
    text = f"token={PASSWORD}9 and again {PASSWORD}9, even glued x{PASSWORD}9x"
    left, _ = redact(text, scan(text))
    assert PASSWORD not in left


def test_names_given_before_are_not_given_again() -> None:
    text = f"[REDACTED:github_pat] and {PAT}"
    assert redact(text, scan(text))[1] == [("github_pat_2", PAT)]
    text = f"now {PAT}"
    assert redact(text, scan(text), {"github_pat": "another"})[1] == [("github_pat_2", PAT)]
    assert redact(text, scan(text), {"github_pat": PAT}) == ("now [REDACTED:github_pat]", [])


def test_scrub_cleans_all_fields_of_one_memory() -> None:
    value = made("", 20)
    done = scrub([f"plain mention of {value} here", f"token={value}", "tag"])
    assert done.texts == ("plain mention of [REDACTED:token] here", "token=[REDACTED:token]", "tag")
    assert done.secrets == (("token", value),)
    assert done.kinds == ("token",)


def test_scrub_seals_the_whole_content_when_asked() -> None:
    done = scrub(["the cat's name", "cat pet"], whole=True)
    assert done.texts == ("[REDACTED:content]", "cat pet")
    assert done.secrets == (("content", "the cat's name"),)
    assert scrub([f"whole with {PAT}", PAT], whole=True).texts == ("[REDACTED:content]", "[REDACTED:github_pat]")


def test_scrub_respects_names_whose_secret_is_not_known() -> None:
    assert scrub([PAT], known={"github_pat": ""}).secrets == (("github_pat_2", PAT),)


def test_the_threshold_and_the_allow_list_are_obeyed() -> None:
    assert kinds(f"password: {PASSWORD}", Policy(threshold=0.9)) == []
    assert kinds(PAT, Policy(threshold=0.9)) == ["github-pat"]
    assert kinds(PAT, Policy(allow=("ghp_.*",))) == []
    assert kinds(f"{PAT} {AWS}", Policy(allow=(PAT,))) == ["aws-access-key-id"]
    assert kinds("password=" + "Fixture" + "-1!", Policy(allow=("fixture-.*",))) == []


@pytest.mark.parametrize("bad", [{"threshold": 1.5}, {"threshold": -0.1}, {"allow": ("(",)}])
def test_a_wrong_policy_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Policy(**bad)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("around", ["😀日本{}한국🔑", "\0{}\0", "\ud800 {} \udfff", "İ{} İ", "‮ {} ‬", "é\u0301 {}\r\n"])
def test_offsets_are_characters_in_any_script(around: str) -> None:
    text = around.replace("{}", f" {PAT} ")
    (found,) = scan(text)
    assert text[found.start : found.end] == PAT


def test_betterleaks_findings_have_character_offsets() -> None:
    secret = "dapi" + made("", 32, "abcdef0123456789")
    text = f"日本 😀\nsecond 😀 line {secret} end"
    (found,) = scan(text)
    assert text[found.start : found.end] == secret
    assert found.rule.startswith("betterleaks:")


SECRETS = st.builds(
    lambda kind, seed: {
        "pat": made("ghp_", 36, seed=seed),
        "aws": made("AKIA", 16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", seed),
        "stripe": made("sk_" + "live_", 24, seed=seed),
    }[kind],
    st.sampled_from(["pat", "aws", "stripe"]),
    st.integers(0, 50),
)
FILLER = st.text(max_size=30)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(FILLER, SECRETS), max_size=5), FILLER)
def test_redaction_never_leaves_a_found_secret(parts: list[tuple[str, str]], tail: str) -> None:
    text = "".join(f"{before} {secret} " for before, secret in parts) + tail
    found = scan(text)
    left, secrets = redact(text, found)
    outside = PLACEHOLDER.sub("\n", left)
    for _, secret in parts:
        assert secret not in left
    for _, secret in secrets:
        assert secret not in outside
    restored = left
    for name, secret in secrets:
        restored = restored.replace(f"[REDACTED:{name}]", secret)
    assert restored == text


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=300))
def test_no_text_raises_and_offsets_stay_inside(text: str) -> None:
    last = 0
    for found in scan(text):
        assert last <= found.start < found.end <= len(text)
        last = found.end
    redact(text, scan(text))


@settings(deadline=None, max_examples=100)
@given(st.text(min_size=1, max_size=80), st.lists(st.tuples(st.integers(0, 79), st.integers(1, 20)), max_size=6))
def test_any_findings_are_taken_out(text: str, spans: list[tuple[int, int]]) -> None:
    found = [Finding("token", min(a, len(text) - 1), min(a + n, len(text)), 0.9, "x") for a, n in spans]
    left, secrets = redact(text, found)
    pieces = PLACEHOLDER.split(left)[::2]
    for _, secret in secrets:
        assert not any(secret in piece for piece in pieces)


def test_64_kilobytes_of_hostile_text_do_not_blow_up() -> None:
    for piece in (
        "password is ",
        "api_key=",
        "-----BEGIN " + "PRIVATE KEY-----",
        "a://b:",
        "eyJ",
        "token=" + made("", 20) + " ",
        "data:image/png;base64,",
        "password='",
    ):
        scan((piece * (65536 // len(piece) + 1))[:65536])
