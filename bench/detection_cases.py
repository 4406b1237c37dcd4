"""Labelled texts for the detection benchmark, drawn from a seed: no secret is written here."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import string
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from detection_notes import NOTES, TEMPLATES

ALNUM = string.ascii_letters + string.digits
LOWER = string.ascii_lowercase + string.digits
B64 = ALNUM + "+/"
URL64 = ALNUM + "-_"
HEX = "0123456789abcdef"

WORDS = tuple(
    (
        "copper violin harbor walnut meadow pencil rocket saddle thunder velvet magnet lantern puzzle cactus biscuit "
        "glacier ribbon tunnel anchor feather marble orbit pepper quartz saffron timber umbrella willow zephyr cobalt"
    ).split(" ")
)
HOSTS = ("db.internal", "pg-1.prod.svc", "10.0.3.14", "localhost", "cache.example-corp.net", "broker01", "mongo.staging.local")
SERVICES = ("billing", "the staging cluster", "our CI", "the analytics job", "Grafana", "the mail relay", "the office printer", "the NAS")


@dataclass(frozen=True, slots=True)
class Case:
    """A text; `secrets` are what must not stay in it (empty: harmless)."""

    kind: str
    text: str
    secrets: tuple[str, ...] = ()


class Maker:
    """Draws secrets and sentences from one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def run(self, alphabet: str, size: int) -> str:
        """A random string with at least one digit and one letter where the alphabet has both."""
        while True:
            drawn = "".join(self.rng.choices(alphabet, k=size))
            if any(c.isdigit() for c in drawn) == any(c.isdigit() for c in alphabet) and any(c.isalpha() for c in drawn):
                return drawn

    def pick(self, *options: str) -> str:
        """One of the options."""
        return self.rng.choice(options)

    def password(self) -> str:
        """What people choose: leet words, random strings, word chains with digits."""
        a, b = self.rng.sample(WORDS, 2)
        return self.rng.choice(
            (
                lambda: a.capitalize() + str(self.rng.randint(10, 9999)) + self.pick("!", "#", "?x", "$k"),
                lambda: a.replace("e", "3").replace("o", "0") + self.pick("_", "-", ".") + b + str(self.rng.randint(1, 99)),
                lambda: self.run(ALNUM + "!#%&*+", self.rng.randint(9, 20)),
                lambda: "-".join(self.rng.sample(WORDS, 4)) + "-" + str(self.rng.randint(1, 99)),
                lambda: a + str(self.rng.randint(100, 99999)),
            )
        )()

    def uuid(self) -> str:
        """A UUID in text."""
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def digest(self, bits: int) -> str:
        """A hex digest."""
        return "".join(self.rng.choices(HEX, k=bits // 4))

    def pem(self, name: str) -> str:
        """A private key block of random bytes."""
        body = base64.b64encode(self.rng.randbytes(self.rng.randint(200, 900))).decode()
        lines = [body[i : i + 64] for i in range(0, len(body), 64)]
        sep = self.pick("\n", "\n", "\n", "\\n", "\r\n")
        return sep.join([f"-----BEGIN {name}-----", *lines, f"-----END {name}-----"])

    def jwt(self) -> str:
        """A JSON Web Token with random claims."""

        def part(value: object) -> str:
            return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

        claims = {"sub": self.run(LOWER, 10), "exp": self.rng.randint(10**9, 2 * 10**9)}
        return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}.{self.run(URL64, 43)}"


#: Sentences for a token that carries its own format; {} is the token.
CARRIERS = (
    "use {} for the deploy job",
    "I pasted {} into the CI settings yesterday",
    "The token we gave to {service} is {}.",
    "{service}: {}",
    "key for {service} = {}",
    "Remember: `{}` belongs to {service}, rotate it in March",
    'export TOKEN="{}"',
    "curl -H 'X-Token: {}' https://api.example-corp.net/v1/me",
    "- name: DEPLOY\n  value: {}\n  scope: prod",
    '{{"service": "x", "cred": "{}"}}',
    "we leaked ({}) in a log line, it must be revoked",
    "Decision 🔑: {} stays until the migration is over 日本語も",
    "user said: please remember {}",
    "{}",
    "old one was revoked, new one:\n{}\n(ask ops)",
    "see <{}> in the vault",
)


def _carried(kind: str, make: Callable[[Maker], str]) -> Callable[[Maker], Case]:
    def case(m: Maker) -> Case:
        secret = make(m)
        return Case(kind, m.rng.choice(CARRIERS).format(secret, service=m.rng.choice(SERVICES)), (secret,))

    return case


def _framed(kind: str, make: Callable[[Maker], str], frames: tuple[str, ...]) -> Callable[[Maker], Case]:
    def case(m: Maker) -> Case:
        secret = make(m)
        text = m.rng.choice(frames).replace("{service}", m.rng.choice(SERVICES)).replace("{host}", m.rng.choice(HOSTS))
        return Case(kind, text.replace("{}", secret), (secret,))

    return case


def _private_key(m: Maker) -> Case:
    block = m.pem(
        m.pick("RSA PRIVATE KEY", "EC PRIVATE KEY", "DSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY")
    )
    text = m.pick(
        "The deploy key is\n{}\nkeep it safe",
        "{}",
        'service account: {"private_key": "{}", "x": 1}',
        "cat id_rsa\n{}",
        "key for {service}:\n\n{}\n\nend",
    )
    return Case("private-key", text.replace("{}", block).replace("{service}", m.rng.choice(SERVICES)), (block,))


def _connection(m: Maker) -> Case:
    scheme = m.pick(
        "postgres",
        "postgresql",
        "mysql",
        "mongodb",
        "mongodb+srv",
        "redis",
        "rediss",
        "amqp",
        "amqps",
        "postgresql+asyncpg",
        "mariadb",
        "mssql",
    )
    user = "" if scheme.startswith("redis") and m.rng.random() < 0.5 else m.pick("app", "svc_user", "root", "billing-rw")
    secret = m.password()
    for c in "#?/@":
        secret = secret.replace(c, "")
    place = f"{m.rng.choice(HOSTS)}:{m.rng.randint(1024, 65000)}/{m.pick('app', 'orders', '0', 'prod?sslmode=require')}"
    url = f"{scheme}://{user}:{secret}@{place}"
    text = m.pick(
        "prod database: {}",
        "DATABASE_URL={}",
        'engine = create_engine("{}")',
        "The worker connects with {} since May.",
        "connect via `{}`",
        "url: '{}'",
        "({})",
    )
    return Case("connection-string", text.replace("{}", url), (secret,))


def _basic(m: Maker) -> Case:
    secret = base64.b64encode(f"{m.pick('admin', 'bob', 'svc')}:{m.password()}".encode()).decode()
    text = m.pick(
        "Authorization: Basic {}",
        "curl -H 'Authorization: Basic {}' https://{host}/x",
        "the proxy wants Basic {}",
        'headers = {"Authorization": "Basic {}"}',
        "authorization: basic {}",
        '-H "Authorization: Basic {}" works for {service}',
    )
    return Case(
        "basic-auth",
        text.replace("{}", secret).replace("{host}", m.rng.choice(HOSTS)).replace("{service}", m.rng.choice(SERVICES)),
        (secret,),
    )


def _aws_pair(m: Maker) -> Case:
    secret = m.run(B64, 40)
    name = m.pick("AKIA", "ASIA") + m.run("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)
    text = m.pick(
        "AWS_ACCESS_KEY_ID={n}\nAWS_SECRET_ACCESS_KEY={}",
        "aws_secret_access_key = {}",
        "the AWS secret access key is {}",
        "keys: {n} / {}",
        "{n} with secret {}",
        'aws configure: "{n}", "{}"',
        "aws_access_key_id: {n}\naws_secret_access_key: {}",
    )
    return Case("aws-secret-access-key", text.replace("{n}", name).replace("{}", secret), (secret,))


#: More ways in which people write the same things down, each found missing or nearly so at some time.
_PASSWORD_NOTES = (
    "ssh into pi with user pi and password {}",
    "admin/{} is the login for the router",
    "jenkins creds: admin / {}",
    "The default root pw on the new box: {}",
    "his vpn passphrase turned out to be {}",
    "user=deploy;password={};host=db",
    "Server=db;Database=x;User Id=sa;Password={};",
    "set the grafana admin password to {}",
    "I set my master password to '{}'",
    "the sudo password = {}",
    "echo {} | sudo -S ls",
    "net use z: \\\\nas\\share /user:bob {}",
    "password (staging): {}",
    "**Password:** {}",
    "- password: `{}`",
    "| password | {} |",
    '"DB_PASS": "{}"',
    "<password>{}</password>",
    "password -> {}",
    'Remember the zip password "{}"',
    "smtp login: mailer@corp.io / {}",
    "password\n{}",
    "  password:\n    {}",
    "spring.datasource.password: {}",
    "kwargs = dict(user='x', passwd='{}')",
    "Our team's 1Password master password is {}",
    "pwd was reset to {} after the incident",
    "to unlock the drive type {} as the passphrase",
    "contraseña: {}",
    "mot de passe : {}",
    "The DB admin's password: {}",
    "here's the password for the demo account: {}",
    "pw for the fileserver = {}",
    "new password is: {}",
    "Password changed from old1 to {}",
    "user: svc-ci\npassword: {}\nhost: 10.0.0.4",
    "pass = '{}'",
    "connect(user='bob', password='{}')",
    "PASSWORD='{}' make deploy",
    "I use {} as my wifi password",
    "FTP creds are bob:{}",
    "Grafana login admin, password {}",
    "account: root pw: {}",
    "the luks passphrase is {}",
    "keystore password is {} (same for the key)",
    "redis-cli -a {} ping",
    'psql password is "{}"',
    "ldap bind pw: {}",
    "unlock code/password: {}",
    "password is `{}`, don't tell anyone",
    "pwd={}",
    "the default password of the camera was {}",
    "Kennwort: {}",
    "пароль: {}",
    "パスワードは {}",
    "密码：{}",
)
_KEY_NOTES = (
    "api token for linear -> {}",
    "our datadog key is {}",
    "X-Auth-Token: {}",
    "?access_token={}&x=1",
    "the webhook secret is {}",
    "SENTRY_AUTH_TOKEN {}",
    "token ({})",
    "**API key**: `{}`",
    "| api_key | {} |",
    "<apiKey>{}</apiKey>",
    "set header apikey to {}",
    "const KEY = '{}'; // openweather",
    "client secret = {}",
    "bot token:\n{}",
    "deploy key {} for prod",
    "I use {} as my API key",
    "licence key: {}",
    "secret key base: {}",
    "accessToken => '{}'",
    "auth: { token: '{}' }",
    "Authorization: Token {}",
    'token "{}" expires in May',
    "the linear key is {}",
    "my personal access token: {}",
    "API-Key: {}",
    "api.key={}",
    "apikey:{}",
    "auth token for the bot = {}",
    "{} is our mapbox token",
    "secret_token: {}",
    "'secret': '{}'",
    "private_token={}&per_page=100",
    "LICENSE_KEY={}",
    "signing secret {}",
    "app secret: {}",
    "clientSecret={}",
    'consumer_key = "{}"',
    "cookie_secret={}",
    "webhook signing key: {}",
)
_HEX_NOTES = (
    "encryption_key: {}",
    "MASTER_KEY={}",
    "rails secret_key_base: {}",
    "AES key: {}",
    "session secret is {}",
    "API_TOKEN={}",
    "the jwt signing key is {}",
    "api key {}",
)


CLASSES: dict[str, Callable[[Maker], Case]] = {
    "private-key": _private_key,
    "aws-access-key-id": _carried("aws-access-key-id", lambda m: m.pick("AKIA", "ASIA") + m.run("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)),
    "aws-secret-access-key": _aws_pair,
    "github-token": _carried(
        "github-token",
        lambda m: (
            m.pick("ghp_", "gho_", "ghu_", "ghs_", "ghr_") + m.run(ALNUM, 36)
            if m.rng.random() < 0.7
            else f"github_pat_{m.run(ALNUM, 22)}_{m.run(ALNUM, 59)}"
        ),
    ),
    "gitlab-token": _carried("gitlab-token", lambda m: "glpat-" + m.run(URL64, 20)),
    "slack-token": _carried(
        "slack-token",
        lambda m: f"{m.pick('xoxb', 'xoxp')}-{m.rng.randint(10**11, 10**12)}-{m.rng.randint(10**11, 10**12)}-{m.run(ALNUM, 24)}",
    ),
    "stripe-key": _carried("stripe-key", lambda m: m.pick("sk_live_", "rk_live_", "sk_test_") + m.run(ALNUM, m.rng.choice((24, 99)))),
    "openai-key": _carried(
        "openai-key",
        lambda m: m.rng.choice(
            (f"sk-{m.run(ALNUM, 20)}T3BlbkFJ{m.run(ALNUM, 20)}", f"sk-proj-{m.run(URL64, 120)}", f"sk-{m.run(ALNUM, 48)}")
        ),
    ),
    "anthropic-key": _carried("anthropic-key", lambda m: f"sk-ant-api03-{m.run(URL64, 93)}AA"),
    "npm-token": _carried("npm-token", lambda m: "npm_" + m.run(ALNUM, 36)),
    "pypi-token": _carried("pypi-token", lambda m: "pypi-" + "AgEIcHlwaS5vcmc" + m.run(URL64, m.rng.randint(70, 160))),
    "vault-token": _carried(
        "vault-token",
        lambda m: m.rng.choice((f"hvs.{m.run(ALNUM, 24)}", f"hvs.{m.run(URL64, 95)}", f"s.{m.run(ALNUM, 24)}", f"hvb.{m.run(URL64, 140)}")),
    ),
    "google-api-key": _carried("google-api-key", lambda m: "AIza" + m.run(URL64, 35)),
    "jwt": _carried("jwt", Maker.jwt),
    "connection-string": _connection,
    "basic-auth": _basic,
    "bearer-token": _framed(
        "bearer-token",
        lambda m: m.run(m.pick(ALNUM, URL64, HEX), m.rng.randint(20, 64)),
        (
            "Authorization: Bearer {}",
            "curl -H 'Authorization: Bearer {}' https://{host}/",
            "it answers to bearer {}",
            'headers={"authorization": "Bearer {}"}',
            "Bearer {} is what {service} sends",
        ),
    ),
    "api-key": _framed(
        "api-key",
        lambda m: m.run(m.pick(ALNUM, LOWER, HEX), m.rng.randint(20, 48)),
        (
            "api_key={}",
            "API_KEY: {}",
            'apiKey: "{}",',
            "x-api-key: {}",
            "{service} api key: {}",
            "SERVICE_API_KEY='{}'",
            "access_key = {}",
            'client_secret: "{}"',
            "our API key for {service} is {}",
            '{"apikey":"{}"}',
            "--api-key {} --verbose",
        ),
    ),
    "token": _framed(
        "token",
        lambda m: m.run(m.pick(ALNUM, LOWER, HEX), m.rng.randint(20, 48)),
        (
            "token={}",
            'token: "{}"',
            "TOKEN={} ./run.sh",
            "auth_token = {}",
            "the bot token is {}",
            "refresh_token: {}",
            "https://{host}/hook?token={}",
            "deploy --token {}",
            "set SOME_TOKEN = `{}`",
        ),
    ),
    "password-assignment": _framed(
        "password-assignment",
        Maker.password,
        (
            "password={}",
            "password: {}",
            'password = "{}"',
            "DB_PASSWORD={}",
            "PGPASSWORD={} psql -h {host}",
            "user: bob, pwd: {}",
            "dbPassword: '{}'",
            "spring.datasource.password={}",
            'passwd: "{}"',
            "mysql -u root --password={} orders",
            "REDIS_PASS={}",
            '{"user": "x", "password": "{}"}',
            "passphrase: {}",
        ),
    ),
    "password-prose": _framed(
        "password-prose",
        Maker.password,
        (
            "the password is {}",
            "The password for {service} is {}.",
            "password of {service} was changed to {}",
            "Passphrase: {} (two people know it)",
            'my password is "{}"',
            "remember that the admin password is now {}",
            "wifi password: {}",
            "the root password for {host} is `{}`",
            "log in to {host} as admin with password {}",
            "Das Passwort ist {}",
            "密码是 {}",
            "use {} as the password for {service}",
            "the passphrase for the backup key is {}",
        ),
    ),
    "pin": _framed(
        "pin",
        lambda m: str(m.rng.randint(1000, 999999)),
        ("the PIN is {}", "PIN: {}", "PIN code is {}", "my pin for the badge is {}", "The PIN of {service} is {}.", "pin is now {}"),
    ),
    "generic-secret": _framed(
        "generic-secret",
        lambda m: m.run(ALNUM, m.rng.randint(16, 40)),
        (
            "secret={}",
            "SECRET: {}",
            'secret = "{}"',
            "APP_SECRET={}",
            "credential = {}",
            "webhook secret: {}",
            "jwt secret is {}",
            "SESSION_SECRET='{}'",
        ),
    ),
    "hex-key": _framed(
        "hex-key",
        lambda m: m.digest(m.rng.choice((128, 256, 512))),
        (
            "encryption key = {}",
            "ENCRYPTION_KEY={}",
            "signing_key: {}",
            "the master key is {}",
            "SECRET_KEY='{}'",
            "hmac secret: {}",
            'cookie_secret: "{}"',
            "aes key is {}",
        ),
    ),
    "password-notes": _framed("password-notes", Maker.password, _PASSWORD_NOTES),
    "key-notes": _framed("key-notes", lambda m: m.run(ALNUM, 32), _KEY_NOTES),
    "hex-notes": _framed("hex-notes", lambda m: m.digest(256), _HEX_NOTES),
}


def positives(seed: int, variants: int) -> Iterator[Case]:
    """`variants` texts of each class."""
    maker = Maker(seed)
    for kind, make in CLASSES.items():
        for _ in range(variants):
            case = make(maker)
            yield Case(kind, case.text, case.secrets)


def harmless(seed: int, rounds: int = 3) -> Iterator[Case]:
    """Developer notes with look-alikes: digests, ids, images, lock files, example keys, references, the words themselves."""
    m = Maker(seed + 1)
    for note in NOTES:
        yield Case("harmless", note)
    for _ in range(rounds):
        for note in TEMPLATES:
            word, word2 = m.rng.sample(WORDS, 2)
            yield Case(
                "harmless",
                note.format(
                    service=m.rng.choice(SERVICES),
                    small=m.rng.randint(8, 28),
                    num=m.rng.randint(1000, 99999),
                    num2=m.rng.randint(1000, 65000),
                    sha1=hashlib.sha1(m.rng.randbytes(8), usedforsecurity=False).hexdigest(),
                    short=m.digest(m.rng.choice((28, 32, 40))),
                    sha256=m.digest(256),
                    md5=m.digest(128),
                    uuid=m.uuid(),
                    b64=base64.b64encode(m.rng.randbytes(64)).decode(),
                    b64short=base64.b64encode(m.rng.randbytes(32)).decode().rstrip("="),
                    hex6=m.digest(24),
                    ip=f"10.{m.rng.randint(0, 255)}.{m.rng.randint(0, 255)}.7",
                    ver=f"{m.rng.randint(0, 9)}.{m.rng.randint(0, 30)}.{m.rng.randint(0, 30)}",
                    word=word,
                    word2=word2,
                ),
            )
