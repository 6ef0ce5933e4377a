"""Rule sets for two engines to be held against each other: each shows one thing, in its logdata.

    variables        every variable there is, with each of its values
    transformations  each one on arguments; the transformed value is logged
    chains           the same with two or three of them
    operators        each one with several arguments, with and without '!', on arguments; with captures
    actions          chains, skips, scores, removals of rules and targets
    crs              Debian's modsecurity-crs at paranoia level 4
"""
import itertools
import random
import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
CRS = ["/etc/modsecurity/crs/crs-setup.conf", "/usr/share/modsecurity-crs/rules/*.conf"]
START = r"""
SecRuleEngine DetectionOnly
SecRequestBodyAccess On
SecRequestBodyLimit 13107200
SecRequestBodyNoFilesLimit 1310720
SecRequestBodyLimitAction Reject
SecArgumentsLimit 1000
SecRequestBodyJsonDepthLimit 512
SecPcreMatchLimit 500000
SecPcreMatchLimitRecursion 500000
SecRule REQUEST_HEADERS:Content-Type "@rx ^(?:application(?:/soap\+|/)|text/)xml" "id:1,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "@rx ^application/(?:[a-z0-9.-]+\+)?json" "id:2,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQBODY_ERROR "!@eq 0" "id:3,phase:2,pass,log,t:none"
"""
SHOW = "logdata:'%{MATCHED_VAR_NAME}=%{MATCHED_VAR}'"

ONE = """ARGS_COMBINED_SIZE FILES_COMBINED_SIZE MULTIPART_BOUNDARY_QUOTED
MULTIPART_BOUNDARY_WHITESPACE MULTIPART_CRLF_LF_LINES MULTIPART_DATA_AFTER MULTIPART_DATA_BEFORE
MULTIPART_FILE_LIMIT_EXCEEDED MULTIPART_HEADER_FOLDING MULTIPART_INVALID_HEADER_FOLDING MULTIPART_INVALID_PART
MULTIPART_INVALID_QUOTING MULTIPART_LF_LINE MULTIPART_MISSING_SEMICOLON MULTIPART_STRICT_ERROR
MULTIPART_UNMATCHED_BOUNDARY QUERY_STRING REMOTE_ADDR REQBODY_ERROR REQBODY_PROCESSOR REQUEST_BODY
REQUEST_BODY_LENGTH REQUEST_LINE REQUEST_METHOD REQUEST_PROTOCOL REQUEST_URI_RAW URLENCODED_ERROR""".split()
# httpd decodes and shortens the path in place before phase 2, and these with it: compared in phase 1.
PATHS = ["REQUEST_BASENAME", "REQUEST_FILENAME", "REQUEST_URI"]
MANY = """ARGS ARGS_GET ARGS_GET_NAMES ARGS_NAMES ARGS_POST ARGS_POST_NAMES FILES FILES_NAMES FILES_SIZES
MULTIPART_FILENAME MULTIPART_NAME MULTIPART_PART_HEADERS REQUEST_COOKIES REQUEST_COOKIES_NAMES REQUEST_HEADERS
REQUEST_HEADERS_NAMES XML:/* XML://@*""".split()
SELECTED = ["&ARGS", "&ARGS:a", "&REQUEST_COOKIES", "&REQUEST_HEADERS", "&FILES", "&ARGS_NAMES", "&REQUEST_HEADERS:Referer",
           "ARGS:a", "ARGS:/^a/", "ARGS|!ARGS:a", "ARGS|!ARGS:/^[ab]$/", "REQUEST_HEADERS:user-agent", "REQUEST_COOKIES:sid",
           "REQUEST_HEADERS|!REQUEST_HEADERS:Host", "ARGS_NAMES:id", "ARGS|!ARGS:patient.id"]
TRANSFORMATIONS = """base64Decode cmdLine compressWhitespace cssDecode escapeSeqDecode hexEncode htmlEntityDecode
jsDecode length lowercase normalizePath normalizePathWin removeCommentsChar removeNulls removeWhitespace
replaceComments sha1 urlDecode urlDecodeUni utf8toUnicode""".split()
OPERATORS = [r"rx ^\d+$", r"rx (?i)<script[^>]*>", r"rx ^$", r"rx (a)(b)?(c)", r"rx \bor\b", r"rx [^\x20-\x7e]", r"rx \x00",
             r"rx (?:^|\s)(\w+)(?:\s|$)", r"rx a.c", r"rx x$", r"rx ^.{3,8}$", r"rx \\\\", r"rx [\x22'\x60]", r"rx a{2,}b*?",
             r"rx (?i:union[\s/*]+select)", "pm select union script", "pm /etc/passwd .. cat", "contains script", "contains  ",
             "contains %{REQUEST_METHOD}", "streq abc", "streq 1", "beginsWith <", "beginsWith ..", "endsWith d", "endsWith --",
             "within 0 1 abc true", "eq 1", "eq 0", "gt 0", "ge 1", "lt 10", "le 0", "validateByteRange 32-126",
             "validateByteRange 1-255", "validateByteRange 9,10,13,32-126,128-255", "validateUrlEncoding",
             "validateUtf8Encoding", "detectSQLi", "detectXSS", "unconditionalMatch"]


def rule(target, operator, number, rest, phase=2):
    return f'SecRule {target} "{operator}" "id:{number},phase:{phase},pass,log,{rest}"\n'


def variables():
    numbers = itertools.count(100)
    return "".join(rule(name, "@unconditionalMatch", next(numbers),
                        "t:none," + ("logdata:'%{MATCHED_VAR}'" if name.startswith("&") else SHOW), 1 if name in PATHS else 2)
                   for name in PATHS + ONE + MANY + SELECTED)


def transformed(chains, first):
    numbers = itertools.count(first)
    return "".join(rule("ARGS|ARGS_NAMES", "@unconditionalMatch", next(numbers),
                        ",".join(["t:none", *(f"t:{name}" for name in chain), SHOW])) for chain in chains)


def transformations():
    return transformed([[name] for name in TRANSFORMATIONS], 1000)


def chains():
    r = random.Random(7)
    return transformed([r.sample(TRANSFORMATIONS, r.choice([2, 2, 3])) for _ in range(25)], 1100)


def operators():
    numbers, text = itertools.count(2000), ""
    for operator in OPERATORS:
        for sign in ("", "!"):
            number = next(numbers)
            capture = "capture,logdata:'%{MATCHED_VAR_NAME}=%{TX.0}/%{TX.1}/%{TX.2}/%{TX.3}'" \
                if operator.startswith(("rx", "pm ")) and not sign else SHOW
            text += rule("ARGS|QUERY_STRING|REQUEST_HEADERS:Referer|XML:/*", f"{sign}@{operator}", number, "t:none," + capture)
    return text


def actions():
    show_tx = "logdata:'%{TX.s} %{TX.last} %{TX.names}'"
    return "".join([
        rule("ARGS", "@contains a", 3000, "t:none,setvar:tx.s=+2,setvar:tx.last=%{MATCHED_VAR_NAME},nolog"),
        rule("ARGS", "@rx [<'\\\"]", 3001, "t:none,setvar:tx.s=+5,setvar:tx.names=%{tx.names}+%{MATCHED_VAR_NAME},nolog"),
        rule("TX:s", "@ge 5", 3002, "t:none," + show_tx),
        'SecRule REQUEST_METHOD "@streq POST" "id:3003,phase:2,pass,log,t:none,chain,' + SHOW + '"\n'
        '    SecRule ARGS "@rx (\\d+)" "t:none,capture,chain,setvar:tx.c=%{TX.1}"\n'
        '    SecRule TX:1 "@ge 2" "t:none"\n',
        rule("TX:c", "@unconditionalMatch", 3004, "t:none," + SHOW),
        'SecRule REQUEST_METHOD "!@streq GET" "id:3005,phase:2,pass,nolog,t:none,skipAfter:END-A"\n',
        rule("QUERY_STRING", "@unconditionalMatch", 3006, "t:none," + SHOW),
        "SecMarker END-A\n",
        'SecRule ARGS:a "@unconditionalMatch" "id:3007,phase:1,pass,nolog,t:none,ctl:ruleRemoveTargetById=3010;ARGS:b"\n',
        'SecRule ARGS:id "@unconditionalMatch" "id:3008,phase:1,pass,nolog,t:none,ctl:ruleRemoveById=3011"\n',
        'SecRule ARGS:q "@unconditionalMatch" "id:3009,phase:1,pass,nolog,t:none,ctl:ruleRemoveTargetByTag=groep;ARGS"\n',
        rule("ARGS|ARGS_NAMES", "@unconditionalMatch", 3010, "t:none,tag:'groep'," + SHOW),
        rule("ARGS", "@rx ^\\w", 3011, "t:none," + SHOW),
        rule("ARGS|REQUEST_COOKIES", "@contains /", 3012, "t:none,t:urlDecodeUni,t:normalizePath,multiMatch," + SHOW),
        rule("&ARGS:a", "@eq 0", 3013, "t:none,logdata:'%{MATCHED_VAR}'"),
        rule("ARGS", "@rx s(.)(?:r|l)", 3014, "t:none,t:lowercase,capture,setvar:tx.m_%{TX.1}=%{TX.0},nolog"),
        rule("TX:/^m_/", "@unconditionalMatch", 3015, "t:none," + SHOW),
        rule("ARGS:a", "@streq %{ARGS.b}", 3016, "t:none," + SHOW),
        rule("MATCHED_VARS", "@unconditionalMatch", 3017, "t:none," + SHOW),
    ])


def crs_rules():
    """id -> targets, operator and transformations of a rule and what is chained to it."""
    found, chained = {}, None
    text = "\n".join(path.read_text(errors="replace") for path in sorted(Path(CRS[1]).parent.glob("*.conf")))
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        rule = re.match(r'\s*SecRule (\S+) ("(?:[^"\\]|\\.)*") "(.*)"\s*$', line)
        if not rule:
            continue
        number = re.search(r"\bid:(\d+)", rule.group(3))
        said = f"{rule.group(1)} {rule.group(2)} " + " ".join(re.findall(r"\bt:\w+", rule.group(3)))
        key = int(number.group(1)) if number else chained
        found[key] = found.get(key, "") + (" " if key in found else "") + said
        chained = key
    return found


def crs():
    return "".join(f"Include {path}\n" for path in [HERE / "crs-base.conf", *CRS])


SETS = {"variables": variables, "transformations": transformations, "chains": chains, "operators": operators, "actions": actions, "crs": crs}


def text_of(name):
    return SETS[name]() if name == "crs" else START + SETS[name]()
