"""What poison looks like: patterns over the normal form of a text (lower case, one kind of quote). Pure."""

from __future__ import annotations

from bethink.pattern import Pattern
from bethink.scan.orders import ORDERS
from bethink.text import MARKER

# Parts of the rules. All are matched against the normal form: lower case, one kind of quote.
_ALL = (
    r"(?:all|any|every|each|the|your|my|of|these|those|other|previous|previously|prior|above|earlier|preceding|former"
    r"|foregoing|existing|current|original|initial|system|developer|safety|security|given|default|and|such|internal"
    r"|content|built-in|user)"
)
_ORDERS = (
    r"(?:instructions?|directives?|system prompts?|prompts?|guidelines?|guardrails?|commands|orders|rules|polic(?:y"
    r"|ies)|restrictions|constraints|safeguards|programming|training|messages|context)"
)
_SECRET = (
    r"(?:\.env\b|env(?:ironment)? (?:vars?|variables?|file)|ssh keys?|~?/?\.(?:ssh|aws|netrc|npmrc|kube|gnupg)\b"
    r"|id_(?:rsa|ed25519)|private keys?|wallet (?:keys?|seed)|seed phrase"
    r"|(?:the |this |our |their |entire |full |whole |current |last |complete |chat |user'?s? "
    r"|message ){0,4}(?:conversations?|chats?|chat (?:history|log|transcript)s?|transcripts?|message history"
    r"|session history|memories|memory (?:store|contents?|file)|system prompt|source code|codebase|browser (?:history"
    r"|cookies)|cookies|personal (?:data|details|information)|contacts|inbox|e-?mails)\b"
    r"|(?:all|any|every|the user'?s?|users'?|their|his|her|stored|saved|customer'?s?|known|found|available|discovered"
    r"|your|those|these|production|prod|live|whatever)[\w' ,/-]{0,40}(?:secrets?|api[- ]keys?|keys|tokens?|passwords?"
    r"|credentials?|files?|documents?|data|records?|card numbers?|account numbers?|details)\b"
    r"|credentials?\b|secrets\b|passwords\b|api[- ]keys\b|tokens\b)"
)
_SEND = (
    r"(?:send|post|upload|forward|e-?mail|mail|transmit|exfiltrate|leak|deliver|submit|relay|ship|copy|push|sync"
    r"|report|append|attach|encode|embed|include|smuggle|write|paste|publish|share|bcc|cc|dm)"
)
_DO = (
    rf"(?:{_SEND}|delete|run|call|execute|install|add|change|modify|remove|store|transfer|disable|approve|do|perform|apply|commit"
    r"|merge|insert|grant|replace|create|open|download|use|buy|update|edit|set|move|read|collect|record|overwrite|accept|switch)"
)
_AWAY = (
    r"(?:https?://(?!localhost|127\.|10\.|192\.168\.|\[?::1)|[\w.+-]+@[\w-]+\.\w|webhook|pastebin|gist\b|(?:an? |the "
    r"|this |our |my )?(?:external|remote|attacker|third[- ]party|outside|public|foreign|following|collection"
    r"|collector|telegram|discord)[\w -]{0,24}(?:server|url|endpoint|address|site|host|service|channel|bucket|gist"
    r"|repo\w*|bot|domain|account|webhook)|\b(?:[a-z0-9-]+\.){1,4}(?:com|net|io|xyz|top|ru|cn|info|site|online"
    r"|example|test|dev|app|ai|co|org|tk|me|evil|invalid)\b)"
)
_ASSISTANT = (
    r"(?:(?:the |this |any |every |all |an? |your ){0,3}(?:ai|llm|assistants?|chat ?bots?|language models?"
    r"|large language models?|models?|ai agents?|coding agents?|agents?|ai assistants?|coding assistants?|claude"
    r"|chatgpt|gpt|copilot|codex|gemini|cursor))"
)
_USER = (
    r"(?:(?:the |an? |this |that |your |any ){0,2}(?:users?|humans?|developers?|operators?|owner|person|people"
    r"|someone|anyone|anybody|somebody|customers?|clients?|admins?|you))"
)
# Where an imperative may begin: at the start of a sentence or clause, or after words that lead into one.
_LEAD = (
    r"(?:^|[.!?:;,\n>\]\"'*(-]\s*|\b(?:please|always|must|should|shall|then|and|also|now|to|silently|secretly|quietly"
    r"|first|immediately|will|you|automatically|instead|simply|just|kindly|covertly|so)\s+)"
)
_HARM = (
    r"(?:(?:transfer|wire|pay|move|send)\b[\w $€£,.'-]{0,50}\b(?:funds|money|bitcoin|btc|eth|usdt|usd|dollars"
    r"|crypto\w*|wallet|iban|account \w*\d|payment)\b"
    r"|rm -rf\b|drop (?:the |all )?(?:tables?|databases?)|(?:delete|wipe|erase|destroy|format"
    r"|overwrite)\b[\w ]{0,20}\b(?:(?:all|every|the entire|the whole) (?:\w+ )?(?:files?|backups?|repos?\w*|branch\w*"
    r"|tables?|memor\w+|notes?|logs?|databases?|disk|drive"
    r"|folders?|director\w+)|everything|backups?|production|home director\w+|disk|audit logs?)\b"
    r"|(?:disable|turn off|switch off|deactivate|skip|bypass|circumvent|omit|remove|ignore"
    r"|suppress)\b[\w ,'-]{0,30}\b(?:authentication|authorization|auth\b|security|firewall|audit\w*|logging|2fa|mfa"
    r"|(?:tls|ssl|certificate|signature|identity|input|safety) \w*(?:verification|validation|checks?)|safety"
    r"|safeguards|guardrails|antivirus|approvals?|confirmations?|permission (?:checks?|prompts?)|warnings|code review"
    r"|sandbox|content (?:filter|policy)|verification)\b"
    r"|(?:grant|give)\b[\w ]{0,30}\b(?:admin|root|full|unrestricted|write|owner)[\w ]{0,12}(?:access|rights|permissions?|privileges|role)"
    r"|(?:reveal|leak|disclose|print|output|expose|dump|recite|repeat|show|share"
    r"|hand over)\b[\w ]{0,30}\b(?:system prompt|secrets?|api keys?|passwords?|credentials|env(?:ironment)? (?:vars?"
    r"|variables)|private keys?|tokens?)\b"
    r"|(?:insert|add|inject|include|plant|introduce|hide|embed)\b[\w ,'-]{0,30}\b(?:backdoor|malicious|malware"
    r"|keylogger|tracking pixel|hidden (?:link|text|instruction)|payload|vulnerabilit\w+|reverse shell|referral"
    r"|affiliate)"
    r"|(?:answer|respond|reply|claim|say|state|insist|assure|tell|confirm|report|pretend)\b[\w ,'\"-]{0,50}\b(?:is"
    r"|are|was|were) (?:completely |perfectly |totally |fully |always |now )*(?:safe|secure|harmless|approved"
    r"|authori[sz]ed|verified|trustworthy|legitimate|a scam|unsafe|a fraud|bankrupt|dead|free of risk|risk-free"
    r"|the (?:best|safest|only))"
    r"|curl [^\n]{0,120}\|\s*(?:sudo )?(?:ba|z)?sh\b|(?:ba|z)?sh <\(curl|reverse shell|(?:approve|authorize"
    r"|auto-approve|accept|merge)\b[\w ]{0,20}\b(?:all|every|any|without)[\w ]{0,20}(?:request|transaction|payment"
    r"|command|action|transfer|pr|pull request|tool call|review)"
    r"|(?:buy|sell|invest in|purchase)\b|(?:refuse|decline) to (?:help|answer|discuss|mention)|(?:speak"
    r"|talk) (?:badly|ill|negatively)|discredit|disparage|download and (?:run|execute|open|install))"
)
_WHEN = (
    rf"(?:when(?:ever)?|every time|each time|any time|if|once|as soon as|in case)\b (?:{_USER} )?(?:is |are |ever "
    r"|next |then )*(?:asks?|asked|mentions?|mentioned|says?|said|requests?|types?|wants?|writes?|opens?|sends?"
    r"|queries|queried|brings? up|talks? about|discuss\w*|see|sees|receives?|gets?|runs?|uses?|reads?|starts?|greets?"
    r"|you \w+|(?:this|the) (?:memory|note|entry|record) is"
    r"|(?:an? |the |any )?[\w-]{2,20} (?:is|are|gets|comes) (?:\w+ )?(?:discussed|mentioned|raised|requested|brought"
    r"|up\b|asked|reviewed|detected))"
)
_ENTITY = (
    r"(?:patients?|accounts?|users?|customers?|clients?|items?|products?|orders?|persons?|employees?|subjects?"
    r"|members?|records?|victims?|id)"
)


Rule = tuple[str, Pattern]


def _rule(kind: str, pattern: str) -> Rule:
    return kind, Pattern(pattern)


RULES: tuple[Rule, ...] = (
    _rule(
        "override",
        r"\b(?:ignor(?:e|ing)|disregard(?:ing)?|forget|overrid(?:e|ing)|bypass|discard|neglect|do(?: not|n't) (?:follow"
        r"|obey|adhere to|comply with)|stop (?:following|obeying)|no longer (?:follow|obey)|abandon|delete|erase|skip"
        r"|void|cancel|set aside|pay no attention to) (?:absolutely |completely |entirely "
        rf"|about )?(?:{_ALL} ){{1,6}}{_ORDERS}\b(?! (?:in|from|on|of|at|about|for|regarding|concerning|file|under|window"
        r"|size|menu|manager|server|processor|switch) )",
    ),
    _rule(
        "override",
        r"\b(?:ignor(?:e|ing)|disregard|forget) (?:everything|anything|all|what(?:ever)?)(?: that)?(?: (?:you|was|were"
        r"|have|had|been|has|i|we|is|said|written|stated|told|learned|know|knew|above|before|earlier|previously|so"
        r"|far)){1,6}\b(?! (?:said |told you |wrote )?(?:about|on|regarding|concerning|for) )",
    ),
    _rule(
        "override",
        r"\b(?:new|updated|revised|real|actual|important|urgent|secret|hidden|following"
        r"|critical) (?:system )?(?:instructions?|directives?|objective|orders|prompt)(?: for (?:you"
        rf"|{_ASSISTANT}))?\s*(?::|(?:is|are)\b[^.\n]{{0,40}}\b(?:to|now)\b)",
    ),
    _rule(
        "override",
        r"\byour (?:new|real|true|only|actual|updated|primary|sole|secret|hidden) (?:task|goal|objective|instructions?"
        r"|role|mission|purpose|directive|identity|job|persona)s?\b (?:is|are|will)\b",
    ),
    _rule(
        "override",
        r"\b(?:this|these|the following) (?:memory|memories|instructions?|notes?|rules?|entry|entries|message|directives?"
        r"|record|prompt|policy)\b[\w ]{0,24}\b(?:overrides?|supersedes?|takes? (?:absolute )?(?:precedence|priority)"
        r"|ha(?:s|ve) (?:\w+ )?(?:precedence|priority)|outranks?|replaces?)\b[\w ]{0,24}\b(?:all|any|every|other|your"
        r"|system|previous|prior|earlier|user)\b[\w ]{0,30}(?:instructions?|rules?|prompts?|polic(?:y|ies)|guidelines?"
        r"|memor(?:y|ies)|requests?|directives?|safety)\b(?! (?:in|of|for|on|about) )",
    ),
    _rule(
        "override",
        r"\byou are (?:now |no longer )(?:an? |the |in |bound |restricted |limited |subject |acting as |operating |free "
        r"|dan\b|called )[^.\n]{0,60}(?:restrict|limit|filter|unfiltered|jailb|dan\b|developer mode|god mode|admin|root"
        r"|rules|guidelines|bound|assistant|ai\b|agent|bot|evil|mode\b)",
    ),
    _rule(
        "override",
        r"\b(?:act|behave|respond|operate|pretend|answer|roleplay)\b(?: as"
        r"| like)?(?: if)?(?: you)?[\w ]{0,24}\b(?:no (?:restrictions|rules|limits|limitations|filters?|guidelines"
        r"|safety)|unrestricted|unfiltered|jailbroken|dan\b|without (?:any )?(?:restrictions|limits|limitations|filters?"
        r"|rules|guidelines|safety))",
    ),
    _rule(
        "override",
        r"\b(?:enable|enter|activate|switch to|enabling) (?:the )?(?:developer|god|debug|admin|dan|jailbreak|sudo"
        r"|unrestricted|maintenance|root) (?:mode|override)\b[^.\n]{0,60}\b(?:restrict|polic|filter|safety|rules"
        r"|guardrail|comply|answer|unlimited|ignore|limits)",
    ),
    _rule(
        "override",
        r"\bsystem[ -]?(?:override|update|alert|notice|message|command)\s*[:\]][^.\n]{0,80}\b(?:you|must|ignore|all"
        r"|assistant|agent|memory|instructions?)\b|^\s*\[?(?:admin|root|developer|system) (?:override|command"
        r"|instruction)\b",
    ),
    _rule(
        "override",
        r"ignorier(?:e|en sie|t)?\b[\w ]{0,24}(?:anweisung|instruktion|vorgaben|regeln)|ignor(?:a|e|en|ar|ez|er"
        r"|are)\b[\w ']{0,30}\b(?:instru[ck]?ciones|instructions? précédentes?|instructions? (?:qui|ci|pass|d)|consignes"
        r"|istruzioni|instruções|reglas anteriores)|oublie[zr]?\b[\w ']{0,24}(?:instructions|consignes)"
        r"|olvida\b[\w ]{0,24}instrucciones|vergiss\b[\w ]{0,24}(?:anweisung|regeln)|игнорируй\w*[\w ]{0,30}(?:инструкци"
        r"|указани)|(?:忽略|无视|忘记|忘掉|不要理会)[^。\n]{0,12}(?:指令|指示|提示|规则|命令)|(?:以前|前|上記|これまで|すべて)の?(?:の)?(?:指示|命令"
        r"|ルール)を?(?:すべて)?(?:無視|忘れ)|(?:이전|위의|모든)[^.\n]{0,10}(?:지시|명령)[^.\n]{0,8}(?:무시|잊)",
    ),
    _rule(
        "role",
        r"<\|(?:im_start|im_end|system|user|assistant|endoftext|eot_id|start_header_id|end_header_id)\|>|<</?sys>>"
        r"|\[/?inst\](?!\s*(?:and|or|tokens?|tags?|markers?)\b)|<(?:start|end)_of_turn>|<\|channel\|>",
    ),
    _rule(
        "role",
        r"(?:^|[.!?]\s+)</?(?:system|system[-_]prompt|system[-_](?:message|instructions?|reminder)|assistant|human"
        r"|instructions?|user_query|developer)\s*>",
    ),
    _rule(
        "role",
        r"^#{2,}\s*(?:system|instruction|new instructions?|assistant|human)s?\s*:?\s*$[^#]{0,40}\b(?:you|ignore|always"
        r"|never|must|from now)\b",
    ),
    _rule(
        "role",
        r"\n\s*\n\s*(?:human|assistant|system)\s*:\s|(?:^|\n)\s*human:\s[^\n]*\n+\s*assistant:\s|\n\s*(?:system"
        r"|assistant)\s*:\s*(?:you\b|ignore|new |from now|override|understood|sure|i will|i'll|ok)",
    ),
    _rule("role", r"[{,]\s*\"role\"\s*:\s*\"(?:system|developer|assistant|tool)\"\s*,\s*\"content\"\s*:"),
    _rule(
        "tool-call",
        r"</?(?:antml:)?(?:function_calls?|invoke|tool_(?:use|call|calls|result|code)|function_results?"
        r"|parameter name=)[\s>=\"]|\[/?tool_calls?\]|<\|(?:tool|python_tag|tool_call)[\w]*\|>|\"(?:tool_calls"
        r"|function_call|tool_use)\"\s*:\s*[\[{\"]|\"type\"\s*:\s*\"(?:tool_use|tool_result|function_call)\"",
    ),
    _rule(
        "tool-call",
        rf"\b(?:you|{_ASSISTANT}) (?:must|should|have to|need to|shall|are required to|will) (?:now |always |first "
        rf"|immediately |silently |then )*(?:call|invoke|use|run|execute|trigger)\b[\w `'\"_.-]{{0,30}}\b(?:tool|function"
        rf"|shell|bash|terminal|mcp|memory_\w+|secret_get|command)\b[^.\n]{{0,120}}",
    ),
    _rule(
        "tool-call",
        r"\b(?:call|invoke|use|run|trigger)\b (?:the )?[`'\"]?(?:secret_get|memory_(?:delete|purge|bulk_delete|store"
        r"|update)|bash|shell|send_email|write_file|delete_file|execute_command|run_command|transfer_\w+)[`'\"]?(?: tool"
        r"| function)?\b[^.\n]{0,20}\b(?:with|on|for|to|and|using|before|after|on every|each)\b",
    ),
    _rule(
        "secrecy",
        r"\b(?:do(?: not|n't)|never|must(?: not|n't)|should(?: not|n't)|avoid|refrain from) (?:ever )?(?:tell(?:ing)?"
        r"|inform(?:ing)?|notify(?:ing)?|alert(?:ing)?|warn(?:ing)?|ask(?:ing)?"
        rf"|let(?:ting)?) {_USER}\b(?: know)?(?: about)?\s*(?:$|[.!;,\n]|(?:of |about |that )?(?:this|it|these|you(?:'ve"
        r"| have| are| did)?|the (?:instruction|memory|note|call|transfer|upload|change|rule|request|tool|action)"
        r"|for (?:confirmation|permission|approval)|first|anything|any of this))",
    ),
    _rule(
        "secrecy",
        r"\b(?:do(?: not|n't)|(?:must|should|shall|may)(?: not|n't)|never|without) (?:ever )?(?:mention(?:ing)?"
        r"|reveal(?:ing)?|disclos(?:e|ing)|discuss(?:ing)?"
        r"|show(?:ing)?|repeat(?:ing)?|quot(?:e|ing)|acknowledg(?:e|ing)|log(?:ging)?|display(?:ing)?) (?:this|these"
        r"|the existence of (?:this|these)|that (?:you|this|these)|the (?:above|following|present))(?: (?:memory|memories"
        r"|instructions?|notes?|rules?|message|behaviou?r|action|step|entry|policy|request|directive|fact|call|you|is|was"
        r"|came|were|have|source)\b|\s*(?:to (?:the |any |an? )?(?:users?|humans?|anyone|anybody|people|developers?"
        r"|operators?|owner)\b|$|[.!,;\n]))",
    ),
    _rule(
        "secrecy",
        rf"{_LEAD}(?:(?:silently|secretly|covertly|quietly|discreetly|invisibly)\s+{_DO}"
        rf"|\w+(?: [\w.'/:@-]+){{0,14}}(?: silently| secretly| covertly| discreetly))\b[^.\n]{{0,80}}(?:to|tool|http"
        rf"|{_HARM}|from {_USER}|without)",
    ),
    _rule(
        "secrecy",
        rf"{_LEAD}{_DO}\b[^.\n]{{0,120}}\bwithout (?:telling|informing|notifying|asking|alerting|mentioning (?:it|this) to"
        rf"|the knowledge of|consulting|confirmation from|approval from|letting) {_USER}",
    ),
    _rule(
        "secrecy",
        r"\b(?:hide|conceal|keep) (?:this|it|these|all of this|(?:the|this) (?:instruction|memory|action|transfer|change|note|rule)s?)"
        rf"(?: a)? (?:from {_USER}|secret\b|hidden\b|confidential\b)",
    ),
    _rule(
        "exfiltration",
        rf"{_LEAD}{_SEND}\b[^.\n]{{0,60}}?{_SECRET}[^\n]{{0,70}}?\b(?:to|at|via|into|in|on|through|using|with|as)\b[^\n]{{0,50}}?{_AWAY}",
    ),
    _rule(
        "exfiltration",
        rf"{_LEAD}(?:{_SEND}|make an? (?:request|call)|connect|issue)\b[^\n]{{0,40}}\b(?:to"
        rf"|at)\b[^\n]{{0,20}}{_AWAY}[^\n]{{0,60}}?\b(?:with|containing|including|carrying|together with|along with"
        rf"|contains?)\b[^\n]{{0,40}}?{_SECRET}",
    ),
    _rule(
        "exfiltration",
        r"\b(?:read|cat|open|collect|gather|grab|dump|harvest|take|fetch|extract|list|find|get|base64(?:-encode)?|encode"
        rf"|retrieve|recall|copy|zip|tar)\b[^\n]{{0,40}}{_SECRET}[^\n]{{0,60}}\b(?:and|then"
        rf"|,)\s+(?:\w+ ){{0,3}}{_SEND}\b[^\n]{{0,60}}(?:{_AWAY}|\bto\b)",
    ),
    _rule(
        "exfiltration",
        r"\b(?:curl|wget|http|https|invoke-webrequest|iwr|nc|ncat|fetch)\b[^\n]{0,200}(?:@~?/?[\w/]*\.(?:env|ssh|aws"
        r"|netrc|npmrc|kube|pgpass)\b|@?[\w~/.]*id_(?:rsa|ed25519)|[$`]\(?\(?\s*(?:cat|env|printenv|history|whoami|base64"
        r"|find|set)\b|/etc/(?:passwd|shadow)|\$\{?(?:aws_secret|[a-z_]*(?:secret_(?:access_)?key|private_key"
        r"|password))\w*\}?[&\"' ]*$|document\.cookie|\.bash_history)",
    ),
    _rule(
        "exfiltration",
        r"\b(?:(?:env|printenv|history|set)\b|(?:cat|tar|zip|base64|find|gpg|grep)\b[^\n|]{0,60}(?:\.(?:env|ssh|aws|netrc"
        r"|kube|gnupg|pem|key)\b|id_(?:rsa|ed25519)"
        r"|/etc/(?:passwd|shadow)|secrets?|credentials?|passwords?|tokens?|history|wallet))[^\n"
        r"|]{0,60}\|[^\n]{0,60}\b(?:curl|wget|nc|ncat|socat)\b",
    ),
    _rule(
        "exfiltration",
        r"!\[[^\]\n]*\]\(\s*https?://[^)\n]*[?&/](?:[^)\n]*=)?[^)\n]*(?:\{[^)\n]*\}|<[^)\n]*>|\[[^)\n\]]*\]|\$\w+|%7b"
        r"|\$\{|(?:conversation|chat_?history|secrets?|summary|user_?data|memory|memories|exfil|leak|stolen)\b)[^)\n]*\)",
    ),
    _rule(
        "exfiltration",
        rf"\b(?:render|include|add|append|embed|insert|display|show|end|output|load|put|use)\b[^\n]{{0,60}}\b(?:image"
        rf"|pixel|img|link|markdown)\b[^\n]{{0,60}}(?:https?://|{_AWAY})[^\n]{{0,160}}(?:conversation|history|secret|token"
        rf"|summary|password|user'?s|base64|encoded|contents?|data=|\bq=|\{{)",
    ),
    _rule(
        "recommendation",
        r"\b(?:remember|treat|consider|regard|trust|store|save|note|keep|cite|use|memori[sz]e|view|list|mark|flag"
        r"|think of)\b[^\n]{0,90}\bas (?:an? |the |your |my |our |one of the ){0,3}(?:(?:most|highly|primary|preferred"
        r"|only|single|top|leading|number one|always|fully|completely|more|very|best|first|most) ){0,3}(?:trusted"
        r"|authoritative|reliable|go-to|credible|trustworthy|reputable|definitive|leading|recommended|top|best|preferred"
        r"|expert|first)\b[\w ,-]{0,20}\b(?:sources?|authority|experts?|providers?|vendors?|citations?|recommendations?"
        r"|choice|references?|company|brand|platform|service|option|solution|website|partner)\b",
    ),
    _rule(
        "recommendation",
        r"\b(?:always|only|exclusively|from now on|henceforth|going forward|in (?:the )?future|in all|in every|by default"
        r"|first|whenever|every time|automatically|be sure to|make sure to|prioriti[sz]e"
        rf"|(?:you|{_ASSISTANT}) (?:must|should))\b[^.\n]{{0,80}}\b(?:recommend(?:ing)?|suggest(?:ing)?|cit(?:e|ing)"
        r"|promot(?:e|ing)|endors(?:e|ing)"
        r"|advertis(?:e|ing)|favou?r(?:ing)?|steer(?:ing)?|direct(?:ing)?|point(?:ing)?|rank(?:ing)?|present(?:ing)?"
        rf"|mention(?:ing)?|refer(?:ring)?|plug|link(?:ing)?|push(?:ing)?)\b[^.\n]{{0,70}}(?:\b(?:to|for) (?:the |all "
        r"|any |every |your |our )*(?:users?|customers?|people|readers?|anyone|everyone|clients?|visitors?|patients?"
        r"|investors?|buyers?|shoppers?)\b|\b(?:as|over|above|before|ahead of|instead of|rather than)\b (?:the |an? |all "
        r"|any |every |its |other |number )*(?:best|top|leading|safest|only|first|cheapest|most|competitors?"
        rf"|alternatives?|others?|rivals?|one|trusted|preferred)\b|\b(?:[a-z0-9-]+\.){1, 4}(?:com|net|io|ai|xyz|co|shop"
        r"|store|org|example|test|app|biz)\b|https?://|\b(?:inc|ltd|corp|llc|gmbh)\b|\b(?:brand|company|vendor|broker"
        r"|coin|supplements?|hotels?|clinics?|casino|vpn|exchange|wallet|law firm|insurance|insurer|affiliate|sponsor\w*"
        r"|products?|services? from)\b)",
    ),
    _rule(
        "recommendation",
        r"\b(?:from now on|henceforth|going forward|in (?:all )?(?:your )?(?:the )?future(?: (?:conversations?|answers?"
        r"|responses?|sessions?|chats?|replies|queries|questions|searches))?|in (?:all|every|any|each) (?:conversations?"
        r"|answers?|responses?|sessions?|chats?|repl(?:y|ies)))\b[^.\n]{0,60}\b(?:recommend|promote|cite|endorse"
        r"|advertise|favou?r|steer|mention|plug|push)\b",
    ),
    _rule(
        "recommendation",
        rf"{_WHEN}[^.\n]{{0,120}}?[,:]? (?:\w+ ){{0,4}}(?:recommend|promote|endorse|advertise|steer|plug|mention|rank"
        rf"|praise|push)\b[^.\n]{{0,90}}\b(?:first|exclusively|only|as the|over|to (?:them|{_USER})|above|instead|before"
        r"|always)\b",
    ),
    _rule(
        "recommendation",
        r"\b(?:must|should|always|only|shall|has to|needs to)(?: always| only)? be (?:recommended|cited|promoted"
        r"|suggested|presented|preferred|mentioned|ranked|endorsed)"
        r"\b[^.\n]{0,40}\b(?:first|exclusively|to (?:all |the |every )?(?:users?|customers?|people|anyone|everyone)|over"
        r"|above|before|as the)\b",
    ),
    _rule(
        "recommendation",
        rf"\b{_USER} (?:must|should|shall|always|will)(?: always| only)? be (?:pointed|directed|steered|referred|sent"
        rf"|routed|guided|led|nudged)\b[^.\n]{{0,40}}"
        r"(?:\b(?:[a-z0-9-]{1,40}\.){1,4}(?:com|net|io|ai|xyz|co|shop|store|org|example|test|app|biz)\b|https?://"
        r"|\b(?:buy|product|service|brand|company)\b)",
    ),
    _rule(
        "recommendation",
        r"\b(?:mention|recommend|suggest|promote|cite|praise|name|list|present)\b[^.\n]{0,40}\b(?:first|exclusively"
        r"|before (?:any|all) others?|above all others?)\b[^.\n]{0,30}"
        r"\b(?:when(?:ever)?|if|every time)\b[^.\n]{0,40}\b(?:discussed|asked?|asks|mentioned|comes? up|raised|brought up|wants?)\b",
    ),
    _rule("recommendation", r"\b(?:always|only|exclusively|must) (?:promote|endorse|advertise|plug|praise|upsell)\b"),
    _rule("trigger", rf"{_WHEN}[^\n]{{0,140}}?\b{_HARM}"),
    _rule(
        "trigger",
        r"\b(?:when(?:ever)?|if|once|every time|each time|as soon as)\b[^.\n]{0,80}[ ,](?:transfer|wire|pay"
        r"|send)\b[^.\n]{0,40}\b(?:funds|money|bitcoin|btc|eth|usdt|crypto\w*|payment)\b"
        r"[^.\n]{0,40}\b(?:to (?:the )?(?:wallet|account|iban|address|0x|bc1)\w*|without)\b",
    ),
    _rule(
        "exfiltration",
        rf"{_WHEN}[^.\n]{{0,60}}?\b(?:passwords?|secrets?|credentials?|api keys?|tokens?|private|confidential|card|bank"
        r"|login|questions?|messages?|anything)\b"
        rf"[^\n]{{0,40}}?\b{_SEND}\b[^\n]{{0,40}}?\bto\b[^\n]{{0,30}}?(?:https?://(?!localhost|127\.)|[\w.+-]+@[\w-]+\.\w)",
    ),
    _rule(
        "trigger",
        r"\b(?:always|every (?:session|task|time|conversation|answer|response|request)|before (?:each|every|any|answering"
        r"|responding|doing)|at the (?:start|beginning|end) of (?:each|every|any)|from now on|on (?:startup|every)"
        r"|first,?|each session|after (?:each|every))\b[^\n]{0,60}\b(?:curl|wget|iwr|invoke-webrequest"
        r"|irm)\b[^\n]{0,140}(?:\|\s*(?:sudo )?(?:ba|z|python3?\b|node|iex)?(?:sh|\b)|-o\b[^\n]{0,60}(?:&&|;)|<\()",
    ),
    _rule(
        "trigger",
        rf"\b(?:you|{_ASSISTANT}) (?:must|should|shall|are (?:required|instructed|ordered|authorized|allowed|permitted) to"
        r"|have to|need to|will|may|can) (?:now |always |never |also |first |silently |immediately |automatically "
        rf"|freely |then )*(?:not )?{_HARM}",
    ),
    _rule(
        "trigger",
        r"\b(?:from now on|henceforth|going forward|in (?:all )?future (?:conversations?|sessions?|answers?|responses?"
        rf"|tasks?))\b[^\n]{{0,60}}\b{_HARM}",
    ),
    _rule(
        "trigger",
        r"\b(?:has|have|is|are)(?: been)?(?: already| fully| permanently| hereby)* (?:pre-?approved|pre-?authori[sz]ed"
        r"|approved|authori[sz]ed|consented to|agreed to|granted)\b[^.\n]{0,24}\b(?:all|any|every|future|unlimited"
        r"|unrestricted)\b[^.\n]{0,30}\b(?:commands?|actions?|transfers?|tool(?: call)?s?|deletions?|permissions?"
        r"|requests?|transactions?|payments?|access|operations?|purchases?)\b",
    ),
    _rule(
        "trigger",
        r"\b(?:no|without(?: any)?) (?:further |user |additional |human |explicit )*(?:confirmation|approval|permission"
        r"|authori[sz]ation|consent|verification)\b[\w ,]{0,24}\b(?:is |are )?(?:needed|required"
        r"|necessary)?[^.\n]{0,30}\b(?:shell commands?|tool calls?|transfers?|payments?|deletions?|deleting"
        r"|force[- ]push\w*|destructive|rm\b|credentials|secrets|purchases)\b",
    ),
    _rule(
        "bridge",
        rf"\b(?:when|if|whenever|for|any|every|all|once|in)\b[^.\n]{{0,60}}\b(?:ask(?:s|ed|ing)?|quer(?:y|ies|ied|ying)"
        r"|questions?|requests?|search(?:es|ing)?|concern(?:s|ing)?|involv(?:es|ing)|regarding|about|contain(?:s|ing)?"
        rf"|referring|mention(?:s|ed|ing)?)\b[^.\n]{{0,30}}\b{_ENTITY}\b[^.\n]{{0,50}}\b(?:use|retrieve|refer|return"
        r"|answer|substitute|treat|consider|look|replace|redirect|respond|give|fetch|report|query|show|provide|read"
        rf"|load)\b[^.\n]{{0,50}}\b(?:data|records?|values?|information|info|results?|entry|details|history|prescriptions?"
        rf"|instead|account|patient|customer|user|file|order|balance)\b[^.\n]{{0,30}}"
        rf"(?:\binstead\b|\b(?:of|from|for|under|to)\b[^.\n]{{0,20}}(?:{_ENTITY}\b[\w' #-]{{0,12}}\d|\b(?:another"
        r"|a different|the other)\b|\b[a-z]?\d))",
    ),
    _rule(
        "bridge",
        rf"\b{_ENTITY}\b[\w' #-]{{0,24}}\d[\w -]{{0,20}}\b[^.\n]{{0,40}}\b(?:refer(?:s|ring)? to|(?:should"
        r"|must) (?:be )?(?:treated|considered|interpreted|read|replaced|redirected|mapped|answered|use|looked up)|(?:is"
        r"|are|was|were|been) (?:now |all |actually |currently |moved |stored |saved |kept "
        rf"|recorded |filed |held ){{1,4}}(?:under|in|with|as|at)"
        rf")\b[^.\n]{{0,40}}\b{_ENTITY}\b[\w' #-]{{0,24}}\d",
    ),
    _rule(
        "bridge",
        rf"\b(?:thought|reasoning|solution|plan|step \d|knowledge|observation|answer)\s*:[^\n]{{0,160}}\b(?:therefore|so"
        r"|thus|hence|because|since|need to|should|must|let'?s|we can|i (?:will|should"
        rf"|must))\b[^\n]{{0,120}}\b{_ENTITY}\b[^\n]{{0,80}}\b(?:instead|in place of|rather than|refer to|replaced? (?:by"
        r"|with)|equivalent|substitut\w+)\b",
    ),
    _rule("fence", rf"</?{MARKER}|{MARKER}[ \w=\"'-]*(?:begin|end|close)"),
    _rule(
        "fence",
        r"(?:^|[.!?]\s+)</(?:memory|memories|notes?|context|recalled|retrieved|documents?|data|stored_notes|untrusted[\w-]*|user_data"
        r"|search_results?|memory[-_]\w+|recalled[-_]\w+)\s*>\s*\S",
    ),
    _rule(
        "fence",
        r"(?:^|[-=*#\[(<]\s*)end of (?:the )?(?:recalled |stored |retrieved |quoted |injected |user "
        r"|untrusted )?(?:memory|memories|notes?|context|data|quotes?|search results"
        r"|documents?)\b\s*[-=*#\]).>:]*[^\n]{0,10}\s*\S[^\n]{0,60}\b(?:you|now|new|system|instructions?|assistant|ignore"
        r"|must|execute|run|user|follow|the following)\b",
    ),
    _rule(
        "addressed",
        r"(?:^|[.!?\n>*#(\[-]\s*)(?:note|attention|message|instructions?|notice|important|memo|warning|dear|hey|hello"
        r"|reminder|directive|psa)?[ ,:-]{0,3}(?:to|for|dear|attention)?[ ,:-]{0,3}(?:all |any |every |the "
        r"|future )*(?:ai|llms?|language models?|ai (?:assistants?|agents?|models?|systems?)|coding (?:agents?"
        r"|assistants?)|assistants?|chat ?bots?)(?: (?:reading|processing|parsing|seeing|summari[sz]ing"
        r"|reviewing)[\w ]{0,24})?\s*[:!,](?![a-z])[^\n]{0,200}\b(?:must|ignore|you|please|run|execute|call|send|add"
        r"|include|always|never|recommend|approve|disregard|report)\b",
    ),
    _rule(
        "addressed",
        r"\bif you(?:'re| are) (?:an? |the |reading this as an? )*(?:ai|llm|(?:large )?language model|ai (?:assistant"
        r"|agent|model)|assistant|chat ?bot|coding agent|agent|automated \w+)\b",
    ),
    _rule(
        "addressed",
        r"\b(?:ais?|llms?|language models?|ai (?:assistants?|agents?|models?)|assistants?|agents?) (?:reading|processing"
        r"|parsing|seeing|loading|retrieving|that reads?|who reads?|which reads?|summari[sz]ing) this\b",
    ),
    _rule(
        "encoded",
        r"\b(?:decode|base64[- ]decode|decrypt|rot13|unhex|deobfuscate)\b[^\n]{0,80}\b(?:and"
        r"|then)\b[^\n]{0,24}\b(?:follow|execute|run|obey|eval|do what|perform|carry out|apply|comply|act on)\b",
    ),
    *ORDERS,
)
