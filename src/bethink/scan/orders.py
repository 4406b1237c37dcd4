"""Poison that gives no order to forget orders: covert deeds, claimed authority, priority and consent, secrets carried out. Pure.

Over the normal form of a text, as `rules`. Each wants two things of one sentence, as a developer's notes often hold one of them.
"""

from __future__ import annotations

from bethink.pattern import Pattern

_CHANGE = r"(?:replac|chang|swap|insert|add|includ|append|modif|alter|redirect|substitut|send|forward|install|remov|delet|transfer|us)\w*"
_UNASKED = r"(?:asking|confirming|confirmation|approval|permission|consent|reading|review(?:ing)?|checking|verification|hesitation)"
_SECRETS = (
    r"(?:\.env\b|env(?:ironment)? var\w*|secrets?\b|credentials?\b|passwords?\b|api[- ]keys?\b|tokens?\b|private keys?\b|ssh keys?\b"
    r"|~?/?\.(?:ssh|aws|netrc|gnupg)\b|id_(?:rsa|ed25519))"
)
_CARRIERS = (
    r"(?:(?:the |a |every |each |your |next )*(?:commit messages?|image url|image link|image|urls?|query string|links?|footer|repl(?:y|ies)"
    r"|answers?|responses?|output|pull request|comments?|summar(?:y|ies)))\b"
)
_THIS = r"(?:this|these|the following|the present) (?:memory|memories|notes?|entry|entries|instructions?|messages?|rules?|texts?|records?)"

_ORDERS = (
    ("secrecy", rf"\b{_CHANGE}\b[^.\n]{{0,80}}\b(?:do not|don't|never|without) (?:mention(?:ing)?|disclos(?:e|ing)) (?:it|this|that)\b"),
    (
        "secrecy",
        (
            r"\b(?:never|do not|don't) (?:reveal|disclose|mention) (?:this|these|that you were)\b\s*[:,;][^\n]{0,160}\b(?:if|when"
            r"|user)\b"
        ),
    ),
    ("secrecy", r"\b(?:hide|conceal|deny) (?:the fact )?that you (?:were|are|have been|received|follow)\b"),
    ("secrecy", r"\bpretend\b[^.\n]{0,60}\b(?:never happened|did(?: not|n't) happen)\b"),
    (
        "secrecy",
        rf"\b(?:when(?:ever)?|if|every time|each time)\b[^.\n]{{0,80}}\b(?:silently|secretly|quietly|covertly|discreetly) {_CHANGE}\b",
    ),
    (
        "secrecy",
        (
            r"\b(?:include|add|use|install|import|recommend)\b[^.\n]{0,60}\b(?:dependency|package|library|module|version|product"
            r"|link)\b[^.\n]{0,40}"
            r"\bwithout (?:explanation|explaining|comment(?:ing)?|mentioning|telling)\b"
        ),
    ),
    (
        "role",
        (
            r"^\s*(?:system|developer|admin(?:istrator)?|root|operator)\s*:\s[^\n]{0,200}\b(?:you (?:must|are|will|shall|may|operate|can)"
            r"|maintenance mode|the assistant|ignore|unrestricted)\b"
        ),
    ),
    (
        "role",
        (
            r"\bas (?:the|your|an?) (?:developer|creator|owner|administrator|admin|maker|author|operator)s?(?: of (?:this|the"
            r"|your) [\w ]{2,30})?,? "
            r"(?:i|we) (?:hereby )?(?:authori[sz]e|permit|allow|grant|order|instruct|command|give) you\b"
        ),
    ),
    (
        "role",
        (
            r"\btreat (?:any|every|all|each)\b[^.\n]{0,60}\bas (?:an? )?(?:admin\w* authori\w+|authori[sz]ation|consent|permission"
            r"|pre-?approval|system (?:messages?|prompts?|instructions?)|instructions?|orders?)\b"
        ),
    ),
    (
        "role",
        (
            r"\buser (?:is|was|has been) (?:an? |the )?(?:admin\w*|root|pre-?authori[sz]ed|verified)\b[^\n]{0,12}\b(?:grant|give"
            r"|allow|let|skip)\b"
        ),
    ),
    (
        "override",
        (
            rf"\b{_THIS}\b[^.\n]{{0,30}}\b(?:has|have|carr(?:y|ies)|takes?|(?:is|are) of)\b (?:the )?(?:highest|absolute|top|maximum"
            rf"|utmost|supreme)"
            r" [\w ]{0,12}(?:priority|precedence|authority|trust|importance)\b"
        ),
    ),
    (
        "override",
        (
            r"\b(?:discard|drop|ignore|delete|disregard|reject) (?:any |all )?(?:conflicting|contradict\w+|competing|other) "
            r"(?:memories|notes|instructions|entries|messages|system)\b"
        ),
    ),
    (
        "override",
        (
            rf"\b(?:follow|obey|trust|believe) only\b[^.\n]{{0,24}}\b(?:instructions?|rules?|orders?|{_THIS})\b[^.\n]{{0,16}}\b(?:in"
            rf"|of|from|below|here)\b"
        ),
    ),
    (
        "override",
        (
            r"\b(?:safety|security|content|ethical|system)[\w ]{0,16}(?:guidelines|polic(?:y|ies)|rules|restrictions"
            r"|prompts?)\b[^.\n]{0,12}"
            r"\b(?:are|is|were|was|have been|has been) (?:now )?(?:outdated|void|obsolete|invalid|lifted|suspended|revoked|disabled)\b"
            r"[^\n]{0,60}\b(?:follow|obey|you|assistant|this (?:note|memory))\b"
        ),
    ),
    ("override", r"\b(?:prefer|trust|believe|use) (?:it|this)(?: \w+){0,2} (?:over|above|before) (?:anything|everything|whatever|all)\b"),
    (
        "override",
        (
            r"\b(?:act|behave|proceed|continue) as (?:if|though)\b[^.\n]{0,60}\b(?:yes|agreed|consented|approved|confirmed"
            r"|authori[sz]ed)\b"
        ),
    ),
    (
        "override",
        (
            r"\b(?:always|you (?:can|may|should|must|will)|must|automatically) (?:run|execute|approve|perform|apply|accept|install"
            r"|delete|send|merge"
            rf"|grant|call)\b[^.\n]{{0,60}}\bwith(?:out| no) (?:any |further |user |prior )?{_UNASKED}\b"
        ),
    ),
    (
        "override",
        (
            r"\b(?:skip|omit|suppress) (?:all |any |the |further |every )?(?:confirmations?|approvals?|permission prompts?)\b[^.\n]{0,24}"
            r"\b(?:from (?:here|now|this point) on|always|forever|in (?:all|every))\b"
        ),
    ),
    (
        "override",
        (
            r"\b(?:reply|respond|answer)\b(?: to)? (?:every|all|any|each) (?:questions?|messages?|prompts?"
            r"|requests?) with ['\"]?i (?:can't|cannot|am unable|refuse)"
        ),
    ),
    (
        "exfiltration",
        (
            rf"\b(?:copy|paste|put|place|encode|embed|include|insert|write|echo|dump|hide|append)\b[^.\n]{{0,40}}{_SECRETS}[^.\n]{{0,60}}"
            rf"\b(?:into|in|to|as|inside|with)\b {_CARRIERS}"
        ),
    ),
    (
        "exfiltration",
        (
            rf"\b(?:read|open|cat|load)\b[^.\n]{{0,24}}{_SECRETS}[^.\n]{{0,16}}\b(?:and|then)\b[^.\n]{{0,12}}"
            r"\b(?:paste|include|send|post|print|append|put|add|show|upload|encode|write)\b[^.\n]{0,40}\b(?:answer|reply|response"
            r"|footer|url|link|message|output)"
        ),
    ),
    (
        "exfiltration",
        (
            r"\b(?:when(?:ever)?|if|once|each time)\b[^.\n]{0,60}\b(?:invoices?|payments?|iban|bank|transfers?|wallets?|payees?"
            r"|donations?)\b"
            r"[^.\n]{0,60}\b(?:replace|change|swap|substitute|redirect)\b[^.\n]{0,40}\b(?:iban|bank account|account number|wallet"
            r"|recipient|payee)\b"
        ),
    ),
    (
        "tool-call",
        (
            r"(?:curl|wget)\b[^\n|]{0,120}\|\s*(?:sudo )?(?:ba|z)?sh\b[^.\n]{0,24}\b(?:at the (?:start|beginning) of|before|on) "
            r"(?:each|every|any|all)\b"
        ),
    ),
    (
        "tool-call",
        (
            r"[\"'](?:arguments|args|parameters|input|params)[\"']\s*:\s*\{[^\n]{0,200}\}[^\w\n]{0,12}(?:execute|run|call|invoke|do"
            r"|perform) (?:this|it|that|now)\b"
        ),
    ),
    (
        "tool-call",
        (
            r"\b(?:insert|add|include|embed|inject|place)\b[^.\n]{0,24}\b(?:hidden|invisible|1x1|tracking|zero-size) (?:iframe"
            r"|pixel|script|image)\b"
            r"[^\n]{0,60}\b(?:pointing|loading|linking|from|to|that|which)\b"
        ),
    ),
    (
        "trigger",
        (
            r"\b(?:tell|inform|warn|convince|assure)\b [\w ]{0,8}users?\b[^.\n]{0,60}\b(?:expired|suspended|locked|blocked"
            r"|compromised|overdue"
            r"|cancelled|hacked)\b[^.\n]{0,24}\b(?:ask|request|collect|get|have)\b[^.\n]{0,40}\b(?:card|cvv|pin|password|ssn"
            r"|seed phrase|code|login|bank)\b"
        ),
    ),
    (
        "override",
        (
            r"\b(?:must|should|shall|to|will) be obeyed\b|\bobey (?:any |all |every |only )?(?:commands|orders|messages|anything"
            r"|whatever|everything)\b"
        ),
    ),
    (
        "override",
        (
            r"\byou (?:no longer need|do not need|don't need|need not|are not required) to (?:verify|check|ask|confirm|authenticate"
            r"|validate|follow|refuse)\b"
        ),
    ),
    (
        "override",
        (
            r"\byou (?:now )?have (?:full|complete|unlimited|unrestricted|total) (?:autonomy|authority|control|permission|freedom"
            r"|discretion)\b"
        ),
    ),
    (
        "override",
        (
            r"\b(?:save|store|keep|remember|record) (?:this|it|the following)\b[^.\n]{0,12}\bas (?:an? |the )?(?:permanent|core|top"
            r"|system|absolute|root) (?:rule|instruction|directive|order|command|policy)\b"
        ),
    ),
    (
        "override",
        (
            r"\byour (?:memory|memories|context|instructions?|configuration|guidelines) (?:is|are|was|were|has been"
            r"|have been) (?:corrupt\w*|compromised|tampered|infected|hacked)\b"
        ),
    ),
    (
        "exfiltration",
        (
            r"\b(?:print|list|output|repeat|recite|show|reveal|dump|return) (?:me )?(?:all|every|each|the full|your (?:full|entire"
            r"|whole)) (?:of )?(?:the |your )?(?:memor(?:y|ies)|credentials?|secrets?|instructions"
            r"|context)\b[^.\n]{0,30}\b(?:verbatim|word for word|stored|in (?:your )?(?:context|memory)|you (?:know|have))\b"
        ),
    ),
    (
        "exfiltration",
        (
            r"\b(?:sende|schicke?|leite|env[ií]a|envoie[zs]?|manda|invia)\b[^.\n]{0,24}\b(?:jede|alle|cada|tod[ao]s|chaque|toute?s"
            r"|ogni)\b[^\n]{0,60}(?:@|https?://)"
        ),
    ),
    (
        "exfiltration",
        (
            r"\badd\b[^.\n]{0,60}\b(?:to|into) (?:[~/\w.]*/)?authorized_keys\b[^\n]{0,40}|\bbefore (?:each"
            r"|every)\b[^.\n]{0,60}\bauthorized_keys\b"
        ),
    ),
    (
        "recommendation",
        (
            r"\b(?:steer|nudge|push|lure|persuade|direct) (?:them|him|her|users?|people|customers?|the user) (?:to|towards?"
            r"|into)\b[^.\n]{0,80}"
            r"(?:\b(?:book|buy|purchase|order|subscribe|sign up|choose|commission|affiliate|sponsor)\b|https?://)"
        ),
    ),
    (
        "recommendation",
        (
            r"\b(?:is|as) the (?:most trusted|best|only trusted|most reliable|only reliable|leading"
            r"|safest)\b[^.\n]{0,60}\b(?:should|must|shall|always|to) be (?:suggested|recommended|mentioned|offered|cited|named)\b"
        ),
    ),
    (
        "trigger",
        (
            r"\bif (?:you are |you're |they )?(?:asked|ask) (?:about|whether|for|why)\b[^.\n]{0,60}\b(?:claim|deny|insist|pretend"
            r"|lie)\b"
        ),
    ),
    (
        "trigger",
        (
            r"\banswer (?:all |any |every )?questions? (?:about|on|regarding)\b[^.\n]{0,60}\b(?:by|with) (?:saying|claiming|stating"
            r"|insisting)\b"
        ),
    ),
    (
        "secrecy",
        (
            r"\b(?:keep (?:quiet|silent) about (?:it|this|that)|keep (?:it|this) (?:between us|to yourself|hidden from)"
            r"|say nothing (?:about|of) (?:it|this))\b"
        ),
    ),
    (
        "bridge",
        (
            r"\bfor (?:patient|user|customer|account|client|tenant|order|employee)s? [#\w-]*\d[\w-]*,?[^.\n]{0,16}\b(?:use|take"
            r"|apply|return|show|read)\b[^.\n]{0,60}\b(?:of|from|for) (?:patient|user|customer|account|client|tenant|order"
            r"|employee)s? [#\w-]*\d"
        ),
    ),
    (
        "tool-call",
        (
            r"\bwhen(?:ever)?\b[^.\n]{0,40}\b(?:sql|quer(?:y|ies)|code|migrations?|scripts?)\b[^.\n]{0,24}\b(?:drop|omit|remove"
            r"|leave out|skip) the (?:where|limit|permission|auth\w*|tenant|access)\b"
        ),
    ),
)

ORDERS: tuple[tuple[str, Pattern], ...] = tuple((kind, Pattern(pattern)) for kind, pattern in _ORDERS)
