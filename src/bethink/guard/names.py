"""What the write guard knows about names, numbers and units. Pure data."""

from __future__ import annotations

from bethink.guard.lexicon import SYNONYMS, stem

_KINDS = {
    "sql database": "postgresql mysql mariadb sqlite oracle mssql sqlserver cockroachdb duckdb aurora planetscale supabase tidb",
    "store": "mongodb cassandra dynamodb couchdb firestore couchbase scylladb",
    "cache": "redis memcached valkey dragonfly keydb hazelcast",
    "queue": "kafka rabbitmq sqs nats pulsar activemq zeromq redpanda kinesis pubsub celery",
    "search": "elasticsearch opensearch solr meilisearch typesense algolia",
    "vector": "pinecone weaviate milvus qdrant chroma chromadb pgvector faiss",
    "language": "python javascript typescript golang rust java kotlin scala ruby"
    " php perl elixir haskell clojure swift dart zig lua csharp fortran cobol",
    "web framework": "django flask fastapi rails express nestjs koa spring laravel gin"
    " fiber actix axum starlette sanic tornado symfony hono fastify",
    "frontend framework": "react vue svelte angular solid solidjs preact ember htmx nextjs nuxt remix astro sveltekit lit qwik",
    "editor": "vim neovim vscode emacs intellij pycharm sublime helix zed webstorm nano cursor notepad atom eclipse",
    "shell": "bash zsh fish powershell nushell dash",
    "os": "linux ubuntu debian fedora macos windows arch alpine centos nixos rhel freebsd mint rocky",
    "cloud": "amazon gcp azure heroku fly vercel netlify hetzner digitalocean render railway linode cloudflare ovh scaleway",
    "ci": "jenkins circleci travis buildkite teamcity bamboo drone actions tekton woodpecker concourse gitlab",
    "forge": "github bitbucket gitea forgejo codeberg gitlab",
    "package manager": "npm pnpm yarn bun pip poetry uv pipenv conda pdm hatch rye",
    "build": "webpack vite rollup esbuild parcel turbopack bazel gradle maven cmake make ninja meson just turborepo nx buck",
    "test runner": "jest vitest mocha pytest unittest jasmine cypress playwright selenium nose ava testify junit rspec",
    "formatter": "black ruff prettier gofmt rustfmt autopep8 yapf biome flake8 pylint eslint standardjs tslint",
    "type checker": "mypy pyright pyre ty pytype",
    "orchestration": "kubernetes nomad swarm ecs openshift mesos",
    "infra": "terraform pulumi ansible cloudformation chef puppet opentofu cdk saltstack",
    "container": "docker podman containerd buildah lxc",
    "web server": "nginx apache caddy traefik haproxy envoy varnish lighttpd",
    "monitoring": "prometheus datadog grafana newrelic nagios zabbix honeycomb splunk loki cloudwatch dynatrace sentry rollbar bugsnag",
    "chat": "slack discord teams mattermost zulip signal whatsapp telegram irc matrix zoom meet",
    "tracker": "jira linear trello asana notion youtrack clickup redmine shortcut confluence",
    "orm": "sqlalchemy prisma hibernate typeorm drizzle sequelize peewee tortoise knex",
    "api style": "rest graphql grpc soap trpc websocket sse",
    "auth": "oauth jwt saml okta auth0 keycloak cognito ldap oidc clerk",
    "format": "json yaml toml xml csv protobuf avro parquet msgpack ini",
    "branch": "master trunk develop",
    "css": "tailwind bootstrap sass less bulma mui chakra",
    "vcs": "git mercurial svn subversion perforce jujutsu",
    "model": "gpt claude gemini llama mistral qwen deepseek opus sonnet haiku",
    "storage": "s3 gcs minio ceph r2 b2 glacier nfs efs dropbox",
    "browser": "chrome firefox safari edge brave",
    "payment": "stripe paypal adyen braintree square mollie klarna",
    "mail": "sendgrid mailgun postmark ses mailchimp resend",
    "licence": "mit apache gpl agpl bsd mpl lgpl",
    "weekday": "monday tuesday wednesday thursday friday saturday sunday montag"
    " dienstag mittwoch donnerstag freitag samstag sonntag lunes martes"
    " miércoles jueves viernes lundi mardi mercredi jeudi vendredi",
    "month": "january february march april june july august september october november december",
    "frequency": "hourly daily nightly weekly biweekly monthly quarterly yearly annually",
    "colour": "red green blue yellow orange purple black white pink brown grey gray teal cyan magenta",
    "level": "debug info warning warn error critical trace fatal",
    "case": "camelcase snake_case kebab-case pascalcase",
    "human language": "english german french spanish italian portuguese dutch chinese japanese korean russian polish czech swedish turkish",
    "merge": "squash rebase",
    "diet": "vegan vegetarian pescatarian omnivore",
    "city": "berlin hamburg munich paris london madrid rome vienna zurich amsterdam"
    " dublin lisbon prague warsaw tokyo seoul sydney melbourne toronto"
    " boston chicago seattle austin denver oslo copenhagen stockholm"
    " helsinki barcelona milan brussels cologne frankfurt lyon porto bern geneva singapore bangalore mumbai",
    "time of day": "morning afternoon evening noon midnight",
    "timezone": "utc cet est pst gmt bst cest edt pdt",
    "relationship": "single married divorced engaged widowed",
    "unit system": "metric imperial celsius fahrenheit",
}
#: Names that are also common words: only with a capital letter are they names.
COMMON = frozenset(
    """
    teams meet zoom signal linear actions make express drone fish render fly notion arch hatch less just solid ninja chef puppet
    edge brave loki rye matrix resend square aurora oracle spring gin rocky nose nano atom ray swift dash go make master trunk
    develop cursor bun salt rest play render railway helix cypress jasmine flask bottle black ruff poetry buck mint r2 ses may
    march bash chroma lit astro remix next ember salt sentry orange single pulsar
    """.split()
)
#: Common words whose stem is a name's.
ALIKE = frozenset("team meeting meetings flying making expresses squares blacks singles rested resting".split())

#: Name → which kinds of thing it is; two names of one kind compete for one place.
KIND_OF: dict[str, frozenset[str]] = {}
for _kind, _names in _KINDS.items():
    for _one in _names.split():
        _key = _one if _one in COMMON else SYNONYMS.get(stem(_one), stem(_one))
        KIND_OF[_key] = KIND_OF.get(_key, frozenset()) | {_kind}

#: Kinds that say when.
TIMELY = frozenset({"weekday", "month", "frequency", "time of day"})
#: Nouns before a number that make it a name, always and when something else is the value.
NUMBERED = frozenset(
    "issue issues ticket tickets pr prs pull bug bugs task tasks mr"
    " adr rfc cve story epic case pep commit build run invoice order request item # no nr".split()
)
NUMBERED_PLACE = frozenset(
    "sprint node server host worker shard step phase chapter section"
    " room floor team iteration day week lesson milestone session test line page rack zone cluster lane machine "
    "quarter q part stage level round episode season level lab exercise"
    " question option plan tier group batch table desk gate track experiment figure player patient customer user".split()
)

NUMBER_WORDS = {word: str(value) for value, word in enumerate("two three four five six seven eight nine ten eleven twelve".split(), 2)} | {
    "fifteen": "15",
    "twenty": "20",
    "thirty": "30",
    "sixty": "60",
    "hundred": "100",
    "thousand": "1000",
    "twice": "2",
}
_SECONDS = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400, "w": 604800, "mo": 2592000, "y": 31536000}
_BYTES = {"b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 1024, "mib": 1024**2, "gib": 1024**3, "tib": 1024**4}
#: Unit as written → (what it measures, how much of it).
UNITS: dict[str, tuple[str, float]] = {
    **{name: ("time", value) for name, value in _SECONDS.items() if name != "d"},
    **{name: ("bytes", value) for name, value in _BYTES.items() if name != "b"},
    **{
        name: ("time", _SECONDS[short])
        for short, names in {
            "ms": "millisecond milliseconds msec millis",
            "s": "second seconds sec secs",
            "min": "minute minutes mins",
            "h": "hour hours hr hrs",
            "d": "day days",
            "w": "week weeks",
            "mo": "month months",
            "y": "year years",
        }.items()
        for name in names.split()
    },
    "k": ("count", 1000.0),
    "m": ("count", 1e6),
    "%": ("percent", 1.0),
    "percent": ("percent", 1.0),
    "px": ("px", 1.0),
    "pixels": ("px", 1.0),
    "chars": ("characters", 1.0),
    "characters": ("characters", 1.0),
    "columns": ("characters", 1.0),
    "km": ("distance", 1000.0),
    "kg": ("kg", 1.0),
    "cm": ("distance", 0.01),
    "€": ("€", 1.0),
    "eur": ("€", 1.0),
    "euros": ("€", 1.0),
    "$": ("$", 1.0),
    "usd": ("$", 1.0),
    "dollars": ("$", 1.0),
    "£": ("£", 1.0),
    "gigabytes": ("bytes", 1e9),
    "megabytes": ("bytes", 1e6),
}
MONTHS = {name: number for number, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
