"""Hand-written probes: paraphrases, exact identifiers, prompts about nothing that is stored, and notes to hide them among."""

from __future__ import annotations

import random
from collections.abc import Iterator

#: (what is remembered, the same asked for in other words)
PARAPHRASES = (
    (
        "The nightly backup job runs at 02:30 UTC and uploads to the Frankfurt bucket.",
        "when do we save copies of the data during the night?",
    ),
    ("Maria dislikes force-pushing; she wants merge commits on shared branches.", "who objects to rewriting published git history?"),
    (
        "We picked PostgreSQL instead of MongoDB because invoices need transactions.",
        "reason for choosing a relational database for billing",
    ),
    ("The login page times out when the Redis cache is cold.", "why is signing in slow after a restart of the key-value store?"),
    (
        "Use pnpm, not npm, for every JavaScript package in this monorepo.",
        "which package manager should I install frontend dependencies with?",
    ),
    ("Deploys to production are frozen every Friday afternoon.", "can I ship a release at the end of the week?"),
    ("The customer in Oslo gets a 15 percent discount until summer.", "special price for the Norwegian client"),
    ("Unit tests must not touch the network; use the recorded fixtures.", "are tests allowed to call external services?"),
    ("The API gateway strips the Authorization header before forwarding.", "credentials disappear on their way to the backend"),
    ("Tomas is allergic to peanuts, so order the team lunch without nuts.", "dietary restrictions when booking food for colleagues"),
    ("Dates are shown as day.month.year throughout the German interface.", "how should calendar values be formatted for users in Germany?"),
    (
        "The old iPhone app crashes when the photo library holds over ten thousand pictures.",
        "mobile client fails with huge image collections",
    ),
    ("I prefer short answers without greetings or apologies.", "how verbose should the assistant's replies be?"),
    (
        "The rate limiter allows one hundred calls per minute and answers 429 above that.",
        "how many requests may a client make before it is throttled?",
    ),
    ("Our style guide forbids abbreviations in variable names.", "are shortened identifiers acceptable in our code?"),
    ("The memory leak came from event listeners that were never removed.", "what made RAM consumption grow over time?"),
    ("Kubernetes evicts the worker because it asks for too little ephemeral storage.", "pod is killed due to disk space on the node"),
    ("Sofia leads the data team since January; ask her about the warehouse.", "whom do I contact regarding analytics tables?"),
    (
        "The invoice PDF is rendered by headless Chromium, so fonts must be installed in the container.",
        "documents for customers show wrong typeface",
    ),
    (
        "We decided to drop support for Python 3.8 in the next major version.",
        "oldest interpreter that will still work after the upcoming release",
    ),
    ("Feature flags live in LaunchDarkly and are removed two weeks after rollout.", "cleaning up toggles once everything is enabled"),
    (
        "The search index is rebuilt from scratch each Sunday because incremental updates lose deletions.",
        "weekly full reindexing and why it is needed",
    ),
    ("Webhooks from Stripe are retried for three days, so handlers must be idempotent.", "payment notifications can arrive more than once"),
    ("My daughter's school ends at four, so no meetings after half past three.", "latest time of day to schedule a call with me"),
)

#: (what is remembered, an identifier in it that must find it)
IDENTIFIERS = (
    ("parse_retry_after() returns seconds, never milliseconds.", "parse_retry_after"),
    ("The handler is called onSessionExpired and runs once per tab.", "onSessionExpired"),
    ("The cut-off lives in services/billing/proration.py near the top.", "services/billing/proration.py"),
    ("Pin libxml to v2.12.7 until the parser regression is fixed.", "v2.12.7"),
    ("The feature is called blue-green-rollout in the console.", "blue-green-rollout"),
    ("The broken order has the id 7f3c9a52-18de-4b6f-9c01-55aa0be4d2f7.", "7f3c9a52-18de-4b6f-9c01-55aa0be4d2f7"),
    ("ERR_TLS_CERT_ALTNAME_INVALID means the proxy's certificate lacks the internal name.", "ERR_TLS_CERT_ALTNAME_INVALID"),
    ("ORA-12514 appears when the listener does not know the service.", "ORA-12514"),
    ("Set MAX_INFLIGHT_BATCHES to 4 on small machines.", "MAX_INFLIGHT_BATCHES"),
    ("HttpRetryPolicyV3 replaced the older class last spring.", "HttpRetryPolicyV3"),
    ("Ticket PLAT-4417 tracks the flaky certificate renewal.", "PLAT-4417"),
    ("The service listens on port 18443 behind the proxy.", "18443"),
    ("Use @acme/design-tokens for colours, never raw hex.", "@acme/design-tokens"),
    ("The kernel logs 0xC0000142 when the DLL cannot start.", "0xC0000142"),
    ("Call db.session.flush() before reading the generated key.", "db.session.flush"),
    ("The migration is 20240611_add_tenant_column.sql.", "20240611_add_tenant_column.sql"),
    ("Commit 9fceb02d0ae5 broke the importer.", "9fceb02d0ae5"),
    ("The host is db-replica-03.internal in the second zone.", "db-replica-03.internal"),
    ("std::shared_mutex caused the stall in the scheduler.", "std::shared_mutex"),
    ("Run it with --max-old-space-size=4096 on the build machine.", "--max-old-space-size"),
)

#: Prompts that no memory here has anything to say about.
UNRELATED = (
    "write a haiku about autumn leaves",
    "what is the capital of Mongolia?",
    "explain how photosynthesis works to a ten year old",
    "how do I fold a fitted sheet?",
    "thanks, that looks great",
    "ok continue",
    "convert 30 fahrenheit to celsius",
    "who won the world cup in 1998?",
    "give me a recipe for lentil soup",
    "what does the word ubiquitous mean?",
    "sort this list of names alphabetically: Zoe, Adam, Lily",
    "implement a binary search tree in Rust with insert and delete",
    "why is the sky blue?",
    "draw an ASCII cat",
    "translate good evening into Japanese",
    "what are the planets of the solar system?",
    "write a regular expression that matches hexadecimal colours",
    "how tall is mount Kilimanjaro?",
    "explain the difference between TCP and UDP",
    "suggest five names for a golden retriever puppy",
    "rename the variable x to count in this function",
    "summarise the plot of Hamlet in three sentences",
    "how do I centre a div vertically with flexbox?",
    "what is the derivative of x squared times sine x?",
    "generate a random maze with a depth first search",
    "tell me a joke about penguins",
    "please fix the typo in the heading",
    "what is a monad?",
    "which muscles does a deadlift train?",
    "add a dark theme with a toggle in the navigation bar",
    "how does a steam engine work?",
    "run the linter and show me the warnings",
    "what time zone is Lisbon in?",
    "write an apology letter to a neighbour about loud music",
    "compute the first twenty primes",
    "what is the best way to learn the violin as an adult?",
    "explain quaternions with a simple example",
    "make the button rounder and a bit larger",
    "how many litres are in a gallon?",
    "refactor this class to use composition",
)

_SERVICES = (
    "ledger",
    "catalogue",
    "mailer",
    "scheduler",
    "thumbnailer",
    "crawler",
    "geocoder",
    "chat",
    "tagging",
    "telemetry",
    "forum",
    "quota",
    "archive",
    "coupon",
)
_PEOPLE = ("Ines", "Jonas", "Priya", "Malik", "Greta", "Hugo", "Yara", "Felix", "Noor", "Pavel", "Clara", "Ravi", "Elif", "Oskar")
_TOOLS = (
    "Terraform",
    "Ansible",
    "Grafana",
    "Kafka",
    "Sentry",
    "Jenkins",
    "Bazel",
    "Poetry",
    "Elasticsearch",
    "RabbitMQ",
    "Nomad",
    "Consul",
    "Airflow",
    "Vite",
)
_PLACES = (
    "Lisbon",
    "Austin",
    "Kyoto",
    "Tallinn",
    "Denver",
    "Ghent",
    "Porto",
    "Leeds",
    "Turin",
    "Malmo",
    "Perth",
    "Quito",
    "Bergen",
    "Graz",
)
_THINGS = (
    "avatars",
    "receipts",
    "playlists",
    "tooltips",
    "footers",
    "captions",
    "badges",
    "shortcuts",
    "widgets",
    "surveys",
    "vouchers",
    "banners",
    "drafts",
    "bookmarks",
)
_TEMPLATES = (
    "The {service} service writes its logs as JSON lines to standard output.",
    "{person} maintains the {tool} configuration for the {service} team.",
    "The {place} office moved the {service} meeting to Tuesday mornings.",
    "{tool} needs {number} megabytes of heap in the {service} container.",
    "{person} wants {things} to be lazy loaded on the overview page.",
    "The {service} queue is drained by {number} consumers in the {place} region.",
    "We replaced {tool} by a shell script in the {service} repository.",
    "{person} reviews changes to {things} before they are merged.",
    "The colour of {things} was changed to teal for better contrast.",
    "{service} exposes {number} metrics that {tool} collects.",
    "{person} from {place} wrote the guide on {things}.",
    "The {service} schema has a nullable column for {things}.",
    "In {place} the {service} prototype was shown to {number} visitors.",
    "{tool} was upgraded by {person} to fix a warning about {things}.",
    "The {service} readme explains how {things} are sorted.",
    "{person} likes pairing on {service} work in the morning.",
)


def distractors(count: int, seed: int = 11) -> Iterator[str]:
    """That many different notes of the same kind as the probes."""
    choose = random.Random(seed)
    seen: set[str] = set()
    while len(seen) < count:
        note = choose.choice(_TEMPLATES).format(
            service=choose.choice(_SERVICES),
            person=choose.choice(_PEOPLE),
            tool=choose.choice(_TOOLS),
            place=choose.choice(_PLACES),
            things=choose.choice(_THINGS),
            number=choose.randrange(3, 900),
        )
        if note not in seen:
            seen.add(note)
            yield note
