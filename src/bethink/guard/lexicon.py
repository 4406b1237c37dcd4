"""What the write guard knows about words: synonyms, opposites, kinds of names, and which verbs take one value at a time. Pure data.

English, with negations and the commonest verbs of German, Spanish and French. Everything is looked up by `stem`.
"""

from __future__ import annotations

import functools

_VOWELS = frozenset("aeiouy")


@functools.lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """A word without its ending: enough to join *caching*, *cached*, *caches* and *cache*, nothing more."""
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith(("sses", "xes", "ches", "shes", "zzes")):
        word = word[:-2]
    elif (word.endswith("s") and not word.endswith(("ss", "us", "is", "ps", "os", "as"))) or (
        word.endswith(("ps", "os")) and len(word) > 4
    ):
        word = word[:-1]
    for ending in ("ing", "ed"):
        root = word.removesuffix(ending)
        if root != word and len(root) > 2 and _VOWELS.intersection(root):
            if len(root) > 3 and root[-1] == root[-2] and root[-1] not in "lsz":
                root = root[:-1]
            word = root
            break
    for ending in ("ation", "ment", "ly"):
        root = word.removesuffix(ending)
        if root != word and len(root) > 4:
            word = root
            break
    if word.endswith("ie") and len(word) > 4:
        word = word[:-2] + "y"
    elif word.endswith("e") and len(word) > 3:
        word = word[:-1]
    elif word.endswith("y") and len(word) > 4 and word[-2] not in "aeiou":
        word = word[:-1] + "i"
    return word


def _groups(lines: str) -> dict[str, str]:
    """Each word of a line → the line's first word, all stemmed."""
    known: dict[str, str] = {}
    for line in lines.strip().splitlines():
        every = [stem(word) for word in line.split()]
        for word in every:
            known.setdefault(word, every[0])
    return known


def _stems(words: str) -> frozenset[str]:
    return frozenset(SYNONYMS.get(stem(word), stem(word)) for word in words.split())


#: Words that stand for one another; the first of a line stands for all.
SYNONYMS = _groups(
    """
    use uses using used utilise utilize employ employs leverage usage utilises utilizes usan usa utilise benutzt benutzen
    use verwendet verwenden nutzt nutzen utilisons
    prefer favour favor preference prefers preferred prefiere bevorzugt préfère
    like likes enjoy enjoys fond love loves adore
    live lives reside resides locate located location sits lie resident based lebt wohnt vive habite
    happen happens occur held scheduled schedule
    begin begins start starts commence kick kicks started
    end finish finishes ends stop stops conclude concludes
    run runs execute executes running ran run läuft
    create creates make makes build builds built generate generates produce produces
    delete deletes remove removes erase purge
    fix repair resolve solve
    show display shows displays shown
    send sent sends
    go goes going gone went
    do does doing done did
    draw drawn drew
    teach taught
    pay paid
    feed fed
    see seen saw
    know known knew
    speak spoken spoke
    drive driven drove
    give given gave
    subscribe subscription subscribed subscribes subscriptions
    take taken took
    put puts
    sell sold
    spend spent
    bind bound
    split splits
    break broken broke
    hide hidden
    freeze frozen froze
    eat eaten ate
    wear worn wore
    grow grown grew
    lend lent
    catch caught
    choose chooses chose chosen pick picks picked select selects selected opt opted decide decides decided decision settle settled
    choose agree agreed adopt adopts adopted
    need needs require requires required requirement necessary mandatory must
    allow allows allowed permit permits permitted permitted permissible ok okay fine acceptable welcome
    keep keeps kept store stores stored save saves saved hold holds held storage persist persists persisted
    host hosts hosted hosting
    get gets fetch fetches obtain retrieve retrieves
    own owns owner owned
    manage manages maintain maintains maintained maintainer administer
    lead leads leader led heads
    write writes written wrote implement implements implemented implementation authored
    deploy deploys deployed deployment deployments rollout
    release releases released ship ships shipped shipping releasing publish publishes published
    review reviews reviewed reviewing
    test tests tested testing
    commit commits committed committing
    indent indents indentation indented indenting
    format formats formatted formatting
    lint lints linter linting linted
    talk speak discuss chat communicate
    call calls called named name names
    listen listens listening
    work works employed
    expire expires expiry expiration lapse
    log logs logged logging
    limit limits limited cap capped ceiling maximum max most threshold
    minimum min least
    authenticate authentication authenticates auth authn
    authorize authorization authz
    config configuration configure configured configs configures
    database databases db dbs datastore
    repo repository repositories repos
    application applications app apps
    environment environments env envs
    production prod
    staging stage stg
    development dev
    document documentation docs doc documented documents
    directory directories folder folders dir dirs
    password passwd
    admin administrator
    info information
    message messages msg
    function functions func
    package packages pkg
    server servers box
    endpoint endpoints route routes
    request requests req
    client clients
    primary main principal primario hauptdatenbank
    default defaults standard
    concise brief short terse succinct compact
    answer answers reply replies response responses respond responds
    detailed verbose thorough long lengthy
    fast quick rapid speedy
    slow sluggish
    big large huge
    small little tiny
    error errors
    bug bugs defect defects
    meeting meetings meet
    standup stand-up
    colour color colours colors
    theme themes
    week weekly weeks
    day daily everyday days
    night nightly nights
    month monthly
    year yearly annually annual
    hour hourly
    quarter quarterly
    morning mornings
    child kid kids children
    mother mum mom
    father dad
    partner spouse
    holiday vacation
    buy purchase bought
    car automobile
    phone telephone
    illness sickness
    allergic allergy
    minute min mins minutes
    image images picture pictures photo
    ticket tickets issue issues
    customer customers
    colleague colleagues coworker coworkers
    company employer firm
    boss manager supervisor
    programme program
    automatic automatically auto
    monitor monitoring
    alert alerts alerting notification notifications
    back-end backend
    front-end frontend ui
    dependency dependencies deps
    variable variables vars
    argument arguments args param params parameter parameters
    credential credentials creds
    certificate certificates cert certs
    kubernetes k8s
    postgresql postgres pg psql
    javascript js
    typescript ts
    python py
    golang go
    elasticsearch elastic
    mongodb mongo
    github gh
    gitlab
    neovim nvim
    amazon aws
    gcp google
    rabbitmq rabbit
    """
)

#: Words that carry nothing a fact turns on.
FILLER = frozenset(
    """
    a an the this that these those of it its it's there here please kindly just really very quite so then well currently presently
    always generally normally usually typically basically simply actually still already indeed own our ours we us you your yours
    they them their theirs team project i me my mine myself user's user users he she his her hers be is are was were been being am
    will would shall should ought can could may do does did has have had having and as than which who whom whose what let lets
    like us ourselves all every each any both per whole entire overall out
    off up back away along existing certain particular specific sure note remember fyi
    btw der die das den dem des ein eine einen einem einer wir ihr unser unsere ist sind war wird werden hat haben und im zum zur
    für auf el la los las un una unos unas es está están ha han y nuestro nuestra le les des du l' est sont été a ont et notre nos
    c'est
    """.split()
)
#: Fillers that are somebody.
SELF = {**dict.fromkeys("i me my mine user users".split(), "user"), **dict.fromkeys("we us our ours team".split(), "team")}

COPULA = frozenset(
    "is are was were be been being am equals equal ist sind war es está est sont sei become becomes became remains remain :".split()
)
AUXILIARY = frozenset(
    "has have had do does did will would shall should must may might"
    " can could ought needs need muss soll sollte kann wird debe puede doit peut".split()
)
PREPOSITIONS = frozenset(
    """
    in on at to into onto via by with through using over under from for within inside of about across as per between against
    during without before after until till since because when whenever if unless while where behind near above below towards
    toward beside despite except instead so that en sur dans mit auf bei nach von für con por para desde pour avec
    """.split()
)
#: Prepositions that say the same of how a thing is tied to what is done.
LINKS = {
    **dict.fromkeys("in on at to into onto within inside under unter auf an bei dans sur en sous".split(), "where"),
    **dict.fromkeys("with via by using through mit con avec".split(), "how"),
}
#: What such words introduce says when, why or for what a fact holds, not what it is.
QUALIFYING = frozenset(
    "for when whenever if unless while where because during since about"
    " across per as between against except despite so that für pour para".split()
)
#: Prepositions that are kept when two texts are compared without their order.
TELLING = frozenset("before after without above below except unless until only".split())

NEGATIONS = frozenset(
    "not never no none nobody nothing neither nor cannot without nicht"
    " nie niemals kein keine keinen keinem keiner nunca jamás jamais ne pas ningún ninguna".split()
)
#: A verb → the verb it denies.
DENIALS = {
    SYNONYMS.get(stem(one), stem(one)): SYNONYMS.get(stem(other), stem(other))
    for one, other in [
        pair.split("=")
        for pair in (
            "avoid=use forbid=allow forbidden=allow ban=allow banned=allow"
            " prohibit=allow prohibited=allow disallow=allow disallowed=allow deny=allow "
            "denied=allow dislike=like hate=like hates=like detest=like disable=enable"
            " disabled=enable reject=accept rejects=accept optional=need unnecessary=need  "
            "impossible=possible incorrect=correct invalid=valid unsupported=support"
            " unsafe=safe inactive=active offline=online disagree=agree unstable=stable "
            "private=public closed=open asynchronous=synchronous async=synchronous"
            " sync=synchronous false=true untrusted=trusted exclude=include excludes=include excluded=include "
            "refuse=accept fail=pass fails=pass unavailable=available unpaid=paid"
            " unencrypted=encrypted down=up stateless=stateful immutable=mutable "
            "insecure=secure unlocked=locked untested=test unreliable=reliable unhealthy=healthy uninstall=install off=on"
        ).split()
    ]
}
#: Words of which one excludes the other.
OPPOSITES = frozenset(
    frozenset((SYNONYMS.get(stem(one), stem(one)), SYNONYMS.get(stem(other), stem(other))))
    for one, other in [
        pair.split("/")
        for pair in (
            "before/after above/below dark/light always/sometimes always/rarely"
            " often/rarely first/last left/right manual/automatic public/private "
            "increase/decrease ascending/descending upper/lower hot/cold early/late"
            " earlier/later morning/evening morning/afternoon evening/afternoon strict/lenient "
            "tab/space single/double concise/detailed vegan/vegetarian married/single"
            " married/divorced single/divorced monorepo/polyrepo monolith/microservice"
            " remote/onsite remote/office weekly/monthly weekly/daily "
            "daily/monthly weekly/biweekly hourly/daily hourly/weekly nightly/weekly"
            " nightly/hourly yearly/monthly quarterly/monthly rebase/merge squash/merge "
            "squash/rebase formal/informal metric/imperial static/dynamic local/remote"
            " fast/slow open/closed must/may true/false yes/no on/off min/max up/down "
            "start/end encode/decode encrypt/decrypt upload/download import/export"
            " read/write push/pull lock/unlock accept/reject include/exclude mount/unmount attach/detach client/server "
            "frontend/backend ingress/egress source/target success/failure internal/external green/red active/passive horizontal/vertical"
        ).split()
    ]
)

#: Words that say which of several alike things is meant: never a value, always a subject.
DISTINGUISHING = _stems(
    "staging production development test qa uat preview sandbox canary"
    " demo local live internal external public private primary secondary main backup replica "
    "frontend backend mobile web desktop ios android api admin worker client server east west north south eu us asia read write readonly "
    "unit integration e2e smoke upload download input output inbound"
    " outbound source target old new legacy left right home office work personal "
    "first second third fourth minimum limit hard soft connect idle weekday weekend summer winter debug release"
)

#: Head nouns of which a thing has one.
FUNCTIONAL = _stems(
    """
    port name branch default colour theme mode language editor database owner lead manager region format style strategy limit
    version timeout url uri address host hostname path location directory budget deadline schedule time date day birthday
    frequency interval size count number amount price cost rate salary capital ceo cto lead maintainer email phone password
    username size quota threshold ttl duration length width height depth retention period level priority status state license
    prefix suffix key id topic queue bucket domain subdomain stack framework provider vendor backend engine driver runtime
    compiler shell os platform font timezone locale currency unit encoding algorithm protocol convention policy rule contact
    target coverage favourite favorite preferred goal title role job employer company boss partner hometown city country diet plan
    tool choice solution ratio percentage capacity concurrency replica replicas worker workers thread threads retry retries
    attempts age weight score seed model dimension dimensions entrypoint package command hobby nickname pronoun pronouns
    indentation naming case casing width cadence linter formatter bundler logger orm ci tracker broker scheduler mascot logo
    slogan motto mentor dentist doctor landlord wifi router printer plugin library broker registry gateway proxy release quota
    latency window cutoff rotation turnover headcount seat seats oncall
    """
)
#: Possessed things that one may have several of.
PLURAL_KIN = _stems("friend brother sister colleague son daughter child cousin neighbour neighbor hobby pet cat dog skill")

#: Verbs with one value at a time.
EXCLUSIVE = _stems(
    """
    prefer favour want choose decide pick live work locate store keep host run listen begin end happen deploy expire last take
    cost weigh lead own manage maintain call name set default point target require need limit retry wait rotate format indent lint
    write implement build compile serve bind connect log save put place publish release ship meet start finish close open test
    authenticate sign encrypt compress serialize hash authorise report belong move switch sleep wake return respond answer refresh
    poll back backup allocate reserve merge branch tag version page bill charge pay earn travel commute sort order paginate render
    schedule trigger cover fall drive
    """
)
#: Verbs that many things may be said with at once, of one kind or not.
OPEN = _stems(
    "like know support include contain import call read send visit"
    " have own love hate enjoy speak see mention learn play eat drink"
    " watch try add write contribute depend integrate talk"
)
#: What is done in one place or by one means, and in others as well.
ANYWHERE = _stems(
    "use find see call reproduce document mention show need describe discuss detect observe test say list offer teach sell cover "
    "happen occur appear need require explain quote print catch raise throw check validate visit invite read"
)
#: Verbs of what is done with many.
COMPANY = _stems("use work meet talk speak play live collaborate pair experiment struggle deal integrate compare connect share agree help")
#: Verbs that say nothing of use: who turns from a thing may still like it.
HAVING = _stems("like know have own see play eat drink")
#: Verbs of which two objects of one kind exclude each other.
BY_KIND = _stems("use run build need target deploy have be go stick rely adopt standardise standardize handle do")
#: Verbs whose object is a thing and whose place is the value.
PLACING = _stems(
    "store keep host deploy run live locate put save publish write"
    " log move release ship send upload report track page mirror archive back push serve build test manage handle"
)
#: Words too light to tell two statements apart.
LIGHT = _stems("use have be get happen do run set go make work live keep put take need want")

_OTHER_VERBS = _stems(
    """
    is are was be has have do use like know support include contain import read send visit love hate enjoy speak see learn play
    eat drink watch try add depend integrate talk deploy commit push pull merge rebase squash review fix create delete update
    install remove enable disable allow forbid accept reject pass fail avoid check ensure call prefix suffix end wrap return raise
    throw catch handle parse validate render load cache retry queue process receive consume emit emit expose proxy forward route
    redirect document describe mean say tell ask think believe feel help show give get go come look find follow lead win lose grow
    depend rely consist scale fork cost cause break crash skip ignore prohibit ban exclude expire retain drop copy sync replicate
    monitor watch alert notify page assign own approve sign attend join leave stay marry study teach train graduate annotate
    squash pin freeze lock unlock mount attach detach bind order sort group split join stream batch throttle encode decode
    translate convert migrate upgrade rename refactor learn cook bake ride cycle swim hike collect wear drink smoke exercise
    practice practise quit resign retire hire fire promote speak sing write draw paint plan aim intend hope occur produce generate
    apply treat mark flag quote escape sanitize normalise normalize index search match filter map reduce compute calculate count
    measure estimate exist begin benutzen verwenden nutzen laufen heißen arbeiten wohnen usar utilizar vivir trabajar utiliser
    habiter travailler
    """
)
_MORE_VERBS = _stems(
    """
    export import convert print draw feed fill mail archive scrape crawl seed purge trigger wake warn embed train subscribe
    unsubscribe register book pay charge earn rent coach commute fly drive ride walk jog knit record film sell trade invest donate
    recommend greet vote mentor interview onboard supervise audit inspect translate proofread edit design sketch model simulate
    bundle minify transpile stub mock patch profile benchmark trace debug instrument provision seat boot restart reboot pause
    resume enter cross hit miss exceed reach rise fall comprise span weigh sit stand face fit block stop answer teach share borrow
    lend protect serve guard power point link connect disconnect wrap unwrap inject expect assume prove verify confirm decline
    cancel extend shrink grow feed house
    """
)
VERBS = EXCLUSIVE | OPEN | BY_KIND | PLACING | _OTHER_VERBS | _MORE_VERBS
#: Nouns that look like verbs but mostly head a subject.
NOUNLIKE = _stems(
    "test build release log cache index call process order version"
    " schedule report limit score set page queue batch review commit"
    " deploy branch tag format host default plan name order target back move work start end time"
)

#: Past events: what happened once stays true.
EVENTS = frozenset(
    """
    met fixed merged discussed found spent saw visited completed finished shipped released deployed attended talked spoke went
    wrote reviewed debugged investigated tested learned discovered noticed resolved closed opened reported refactored added
    implemented removed deleted created updated ran worked tried failed crashed broke happened took bought sold cooked ate read
    watched played celebrated travelled traveled flew drove hired interviewed presented demoed rolled launched reverted bisected
    reproduced paired brainstormed called emailed asked answered explained showed gave got came left lost won slept walked cycled
    hiked swam measured benchmarked profiled observed hit saw reached passed ended started began committed pushed opened
    """.split()
)

TELLING_KEYS = _stems(" ".join(TELLING))
#: Words that may be missing or stand for one another without changing what is meant.
WEAK = _stems(
    "use have be get happen do run set go make work live keep put take"
    " need want begin call write like prefer choose whole entire kind sort thing way time place "
    "roughly approximately about around circa nearly almost system stuff actually code set fully properly correctly successfully"
    " user team person people value name new main everything anything something please happen exist "
    "number amount size period duration length location located accessible available manage handle currently default setting"
    " project own implement build"
)
#: Words of a subject that do not tell which thing is meant.
VAGUE = _stems("user team person value name size number amount period duration length location located current project system whole")
#: What only one can be.
ROLES = _stems(
    "lead leader owner manager maintainer ceo cto cfo head chief captain"
    " boss default primary main standard entrypoint entry capital official current chair president director admin "
    "contact assignee favourite favorite preferred supervisor mentor"
    " landlord dentist doctor fallback primary successor source-of-truth"
    " password winner champion backend frontend editor database"
)
#: Heads and adjectives that may be left out where the rest says which thing is meant.
GENERIC = _stems(
    "tool provider choice solution vendor name platform service framework library system method preferred"
    " favourite favorite default current"
)
#: Verbs with one subject at a time.
SOLE = _stems("lead own manage maintain run host handle")
#: What a version or number in the subject may be said to be.
BOUNDS = _stems("minimum maximum limit version oldest newest lowest highest required supported target baseline")
#: First halves of words that grammar joins by a hyphen.
HYPHENED = frozenset(
    """
    pre re non multi self real open read write follow back front end built long short high low top two three four five six one
    user in on off up co sub auto cross well data time error type full part first second third anti semi half day week month year
    server client peer dead round single double left right hand pair code test event state stand sign log set roll break kick
    check trade know run case mid post inter intra micro macro super ultra over under out down by to
    """.split()
)
#: Verbs of what is in force, whatever number it has.
IN_FORCE = _stems("use need run pin target")
