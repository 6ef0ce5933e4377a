#!/usr/bin/python3
"""The regression tests of the OWASP Core Rule Set, run through waf-eval, or through a running gate.

    crs.py [--suites FOLDER] [--eval WAF_EVAL] [--version 4.28.0] [--list] [--only 942100] [--peer WAF_PEER] [--live]
           [--engines WAF_COMPARE]

Understands the formats of CRS 3.3 and of CRS 4. A test's request is what the tests' own client would send: form
data encoded unless it is already, CR LF in multipart bodies, Content-Length and Connection added unless told not
to. What a server in front refuses before any rule sees it is answered 400, as Apache httpd does.
With --live the bytes go to polder-gate over TCP (crs_live.py), whose own parser may refuse them before any rule: what
the rules would have blocked then counts as stopped, and is listed with the reason.
CRS 3.3.4 runs with the rules of Debian's modsecurity-crs. Prints a line a suite: passed, failed, left out; and one for
each that did not pass. Exit: 1 if any failed.
"""
import argparse
import base64
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote_to_bytes, urlencode

import yaml

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import crs_live  # noqa: E402

HERE = Path(__file__).resolve().parent
FORM = "application/x-www-form-urlencoded"
TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def as_bytes(text):
    return text if isinstance(text, bytes) else str(text).encode()


class Refused(Exception):
    """The server answers 400 before the rules run."""


# ---- the tests' client

def form_encoded(data):
    """data, encoded if it is a query string that nobody encoded yet."""
    if b"+" in data or unquote_to_bytes(data) != data or b";" in data:
        return data
    pairs = parse_qsl(data.decode("latin-1"), keep_blank_values=True)
    if not any(value for _, value in pairs):
        return data
    return urlencode(pairs, encoding="latin-1").encode()


def crlf_body(data):
    data = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return data if data.endswith(b"\r\n") else data + b"\r\n"


def has_field(fields, name):
    return any(field.lower() == name.lower() for field, _ in fields)


def field_of(fields, name):
    return next((value for field, value in fields if field.lower() == name.lower()), b"")


def expanded(data):
    """The one function of the client's templates that the tests use."""
    return re.sub(rb'\{\{ "(.)" \| repeat (\d+) \}\}', lambda found: found.group(1) * int(found.group(2)), data)


def built_request(given, posts_length):
    fields = [(as_bytes(name), as_bytes(value)) for name, value in (given.get("headers") or {}).items()]
    data = given.get("data")
    if isinstance(data, list):
        data = "\r\n".join(data)
    data = b"" if data is None else expanded(as_bytes(data))
    complete = given.get("autocomplete_headers", not given.get("stop_magic", False))
    if data and complete:
        if not has_field(fields, b"Content-Type"):
            fields.append((b"Content-Type", FORM.encode()))
        if field_of(fields, b"Content-Type") == FORM.encode():
            data = form_encoded(data)
    if field_of(fields, b"Content-Type").startswith(b"multipart/form-data;"):
        data = crlf_body(data)
    if complete:
        if not has_field(fields, b"Connection"):
            fields.append((b"Connection", b"close"))
        if (data or (posts_length and given.get("method") == "POST")) and not has_field(fields, b"Content-Length"):
            fields.append((b"Content-Length", str(len(data)).encode()))
    line = b" ".join(as_bytes(part) for part in (given.get("method", "GET"), given.get("uri", "/"),
                                                 given.get("version", "HTTP/1.1")))
    return line, fields, data


def raw_request(raw):
    head, _, body = raw.replace(b"\r\n", b"\n").partition(b"\n\n")
    _, _, body = raw.partition(b"\r\n\r\n") if b"\r\n\r\n" in raw else (0, 0, body)
    line, *rest = head.split(b"\n")
    if b"\r\n" not in raw:
        raise Refused("lines that end in LF alone")
    fields = []
    for text in rest:
        name, colon, value = text.partition(b":")
        if not colon:
            raise Refused("a header without a colon")
        fields.append((name, value.strip(b" \t")))
    return line, fields, body


# ---- the server in front of the rules

def unchunked(body):
    out = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        try:
            n = int(size.split(b";")[0], 16)
        except ValueError:
            raise Refused("a chunk without a size") from None
        if n == 0:
            return out
        out, body = out + body[:n], body[n + 2:]
    raise Refused("chunks end too early")


def check_line(line):
    parts = line.split(b" ")
    method, target, protocol = parts[0], b" ".join(parts[1:-1]), parts[-1]
    if not TOKEN.fullmatch(method) or not target or len(parts) < 3:
        raise Refused("request line")
    if re.search(rb"[\x00-\x20\x7f#]", target) or not re.fullmatch(rb"HTTP/[1-9]\.\d", protocol):
        raise Refused("target or protocol")
    if method == b"CONNECT" and not re.search(rb":\d+$", target):
        raise Refused("CONNECT without a port")
    if not re.match(rb"/|\*$|[a-zA-Z][a-zA-Z0-9+.-]*:", target) and method != b"CONNECT":
        raise Refused("target without a slash")
    return method, target, protocol


def check_fields(fields, protocol):
    for name, value in fields:
        if not TOKEN.fullmatch(name) or re.search(rb"[\x00\r\n]", value):
            raise Refused("header")
    if protocol >= b"HTTP/1.1" and not re.fullmatch(rb"[A-Za-z0-9.:\[\]_-]+", field_of(fields, b"Host").strip()):
        raise Refused("Host")


def merged(fields):
    """Fields that come more than once are one, as Apache httpd has it."""
    found = {}
    for name, value in fields:
        first, values = found.setdefault(name.lower(), (name, []))
        values.append(value)
    return [(name, b", ".join(values)) for name, values in found.values()]


def served(line, fields, body):
    """What the rules get to see of a request, as a server hands it on."""
    method, target, protocol = check_line(line)
    fields = merged(fields)
    check_fields(fields, protocol)
    coding = field_of(fields, b"Transfer-Encoding").lower()
    if coding:
        if not coding.endswith(b"chunked"):
            raise Refused("Transfer-Encoding")
        body = unchunked(body)
        fields = [(name, value) for name, value in fields if name.lower() != b"content-length"]
    elif has_field(fields, b"Content-Length"):
        length = field_of(fields, b"Content-Length")
        if not re.fullmatch(rb"\d+", length):
            raise Refused("Content-Length")
        body = body[:int(length)]
    else:
        body = b""
    return method, target, protocol, fields, body


def answer_of(method, target, body, is_old):
    """What the tests' back end says: CRS 3's is a server of three files, of CRS 4's POST /reflect answers as the body
    tells it."""
    if is_old:
        exists = target.split(b"?")[0] in (b"/", b"/index.html", b"/post")
        return 405 if method == b"CONNECT" else 200 if exists else 404, [(b"Content-Type", b"text/html")], b""
    if method == b"POST" and target.split(b"?")[0].rstrip(b"/").startswith(b"/reflect"):
        try:
            told = json.loads(body)
        except ValueError:
            return 400, [], b""
        fields = [(as_bytes(name), as_bytes(value)) for name, value in (told.get("headers") or {}).items()]
        said = base64.b64decode(told["encodedBody"]) if told.get("encodedBody") else as_bytes(told.get("body") or "")
        if said and not has_field(fields, b"Content-Type"):
            fields.append((b"Content-Type", b"text/plain; charset=utf-8"))
        return int(told.get("status") or 200), fields, said
    return 200, [(b"Content-Type", b"text/plain")], b""


def raw_bytes(given):
    """A request that the test gives as bytes, or None."""
    if given.get("encoded_request"):
        return base64.b64decode(given["encoded_request"])
    return as_bytes(given["raw_request"]) if given.get("raw_request") else None


def sent_bytes(given, is_old):
    """What the tests' client sends."""
    raw = raw_bytes(given)
    if raw is not None:
        return raw
    line, fields, body = built_request(given, not is_old)
    return b"\r\n".join([line, *(name + b": " + value for name, value in fields), b"", body])


def latin(value):
    return value.decode("latin-1")


def pairs_of(fields):
    return [[latin(name), latin(value)] for name, value in fields]


def prepared(given, is_old):
    """One line for waf-eval and the status the client would see."""
    raw = raw_bytes(given)
    line, fields, body = raw_request(raw) if raw is not None else built_request(given, not is_old)
    method, target, protocol, fields, body = served(line, fields, body)
    status, answer_fields, answer_body = answer_of(method, target, body, is_old)
    return {
        "line": latin(line), "method": latin(method), "target": latin(target), "protocol": latin(protocol),
        "fields": pairs_of(fields), "body": latin(body),
        "answer": {"status": status, "fields": pairs_of(answer_fields), "body": latin(answer_body)},
    }, status


# ---- tests

def tests_in(folder):
    for path in sorted(Path(folder).rglob("*.y*ml")):
        with path.open(encoding="utf-8") as file:
            for document in yaml.load_all(file, Loader=LOADER):
                if not document:
                    continue
                enabled = (document.get("meta") or {}).get("enabled", True)
                for test in document.get("tests") or []:
                    name = test.get("test_title") or f"{document['rule_id']}-{test['test_id']}"
                    stages = [stage.get("stage", stage) for stage in test["stages"]]
                    is_old = "test_title" in test
                    yield str(name), stages, enabled, is_old


def wanted_ids(text):
    return [int(number) for number in re.findall(r'id "(\d+)"', text)]


def problems_of(output, verdict, status):
    """Why an outcome is not the expected one; empty: it is."""
    ids = {match["id"] for match in verdict["matches"] if match["logged"]}
    text = "\n".join(match["text"] for match in verdict["matches"] if match["logged"])
    log = dict(output.get("log") or {})
    expected = list(log.get("expect_ids") or []) + wanted_ids(output.get("log_contains") or "")
    unexpected = list(log.get("no_expect_ids") or []) + wanted_ids(output.get("no_log_contains") or "")
    problems = [f"{number} did not match" for number in expected if number not in ids]
    problems += [f"{number} matched" for number in unexpected if number in ids]
    if log.get("match_regex") and not re.search(log["match_regex"], text):
        problems.append(f"log lacks {log['match_regex']}")
    if log.get("no_match_regex") and re.search(log["no_match_regex"], text):
        problems.append(f"log has {log['no_match_regex']}")
    allowed = output.get("status")
    if allowed is not None and status not in (allowed if isinstance(allowed, list) else [allowed]):
        problems.append(f"status {status} instead of {allowed}")
    return problems


class Evaluator:
    def __init__(self, program, rules):
        self.process = subprocess.Popen([program, rules], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, request):
        self.process.stdin.write(json.dumps(request, ensure_ascii=False).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("crs: waf-eval ended")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        return self.process.wait()


NOTHING = {"matches": [], "status": 0, "action": 0}


def run_test(evaluator, stages, is_old):
    problems = []
    for stage in stages:
        output = stage["output"]
        try:
            request, status = prepared(stage["input"], is_old)
            verdict = evaluator.run(request)
        except Refused as why:
            if output.get("expect_error"):
                continue
            verdict, status = NOTHING, 400
            problems += [f"{problem} (400: {why})" for problem in problems_of(output, verdict, status)]
            continue
        problems += problems_of(output, verdict, status)
    return problems


def overridden(path):
    """Tests whose outcome is published as different for a kind of engine: {name: output or None}."""
    if not path:
        return {}
    with open(path, encoding="utf-8") as file:
        listed = yaml.load(file, Loader=LOADER)["test_overrides"]
    return {f"{item['rule_id']}-{number}": item.get("output") for item in listed for number in item["test_ids"]}


class Suite(NamedTuple):
    name: str
    tests: Path
    base: list  # configuration before the setup
    setup: Path
    rules: Path


def suites_in(folder):
    debian = Path("/usr/share/modsecurity-crs")
    new = folder / "4.28.0"
    return [
        Suite("3.3.4", folder / "3.3.4/tests", [HERE / "crs-base.conf"], Path("/etc/modsecurity/crs/crs-setup.conf"),
              debian / "rules"),
        Suite("4.28.0", new / "tests", [HERE / "crs-base.conf", HERE / "crs-4.conf"], new / "crs-setup.conf.example",
              new / "rules"),
    ]


def configuration(suite):
    return "".join(f"Include {path}\n" for path in [*suite.base, suite.setup, suite.rules / "*.conf"])


def wanted_tests(suite, options):
    """(name, stages, is_old) of those that run, and how many the suite has switched off."""
    overrides, wanted, left_out = overridden(options.overrides), [], 0
    for name, stages, enabled, is_old in tests_in(suite.tests):
        if options.only and not name.startswith(options.only):
            continue
        if overrides.get(name):
            stages[-1]["output"] = overrides[name]
        if enabled:
            wanted.append((name, stages, is_old))
        left_out += not enabled
    return wanted, left_out


def run_suite(suite, options):
    wanted, left_out = wanted_tests(suite, options)
    passed, failed = 0, []
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as conf:
        conf.write(configuration(suite))
        conf.flush()
        evaluator = Evaluator(options.eval, conf.name)
        for name, stages, is_old in wanted:
            problems = run_test(evaluator, stages, is_old)
            passed += not problems
            if problems:
                failed.append((name, problems))
        if evaluator.close() != 0:
            raise SystemExit("crs: waf-eval failed")
    print(f"crs {suite.name}: {passed} passed, {len(failed)} failed, {left_out} left out (disabled by the suite)")
    for name, problems in failed if options.list or len(failed) <= 5 else []:
        print(f"  {name}: {'; '.join(problems)}")
    return not failed


# What the gate declines whatever rules say, and a test asks to be served.
DECLINED = {
    "920100-4": "CONNECT is not served: the gate stands in front of applications, it opens no way to others",
    "920181-1": "Content-Length beside Transfer-Encoding is two framings, which requests are smuggled with (RFC 9112 6.3)",
}
# Outcomes that the suite publishes for servers that, like the gate, pass on repeated fields as they came.
AS_PUBLISHED_FOR_NGINX = {"920620-1"}


def judged(name, output, told, record, refusal, blocking):
    """(problems, why the request was stopped or None) of one stage that went through the gate. It was stopped by a refusal
    before any rule ran, if the test waits for rules that would have blocked it, or for an error."""
    if output.get("expect_error") and (refusal or told.status is None):
        return [], None
    problems = problems_of(output, crs_live.verdict_of(record), told.status)
    missed = {int(number) for number in re.findall(r"^(\d+) did not match$", "\n".join(problems), re.M)}
    allowed = output.get("status")
    wants_error = allowed is not None and min(allowed if isinstance(allowed, list) else [allowed]) >= 400
    if not problems or not refusal:
        left_out = (record or {}).get("polder.waf.left_out")
        return [f"{problem} ({left_out} matches are not in the record)" if left_out else problem for problem in problems], None
    if name in DECLINED:
        return [], f"{refusal}: {DECLINED[name]}"
    if blocking.issuperset(missed) and (missed or wants_error):
        return [], f"{refusal} ({told.status})" + "".join(f", before {number}" for number in sorted(missed))
    return [f"{problem} ({refusal})" for problem in problems], None


def by_counters(suite, options, wanted, failed):
    """Tests that want a text which the gate's log never holds, or a match beyond the end of its record: once more, each
    alone, by the counters of rules. They must be those that waf-eval logs, and waf-eval must pass the test.
    Returns (names that passed so, the others)."""
    again = {name: problems for name, problems in failed
             if all("log lacks" in problem or "not in the record" in problem for problem in problems)}
    if not again:
        return [], failed
    shown = []
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as conf:
        conf.write(configuration(suite))
        conf.flush()
        evaluator = Evaluator(options.eval, conf.name)
        live = crs_live.Live(configuration(suite), lambda *asked: answer_of(*asked, suite.name.startswith("3")), options.gate)
        try:
            for name, stages, is_old in wanted:
                if name in again and all(counts_alike(live, evaluator, stage, is_old) for stage in stages):
                    shown.append(name)
        finally:
            live.close()
            evaluator.close()
    return shown, [(name, problems) for name, problems in failed if name not in shown]


def counts_alike(live, evaluator, stage, is_old):
    _, hits = live.counted(sent_bytes(stage["input"], is_old))
    request, status = prepared(stage["input"], is_old)
    verdict = evaluator.run(request)
    return hits == logged(verdict) and not problems_of(stage["output"], verdict, status)


def as_published(suite, wanted):
    published = overridden(suite.rules.parent / "nginx-overrides.yaml") if suite.name.startswith("4") else {}
    for name, stages, _ in wanted:
        if name in AS_PUBLISHED_FOR_NGINX and published.get(name):
            stages[-1]["output"] = published[name]


def run_live(suite, options):
    wanted, left_out = wanted_tests(suite, options)
    as_published(suite, wanted)
    live = crs_live.Live(configuration(suite), lambda *asked: answer_of(*asked, suite.name.startswith("3")), options.gate)
    try:
        told = [[live.send(sent_bytes(stage["input"], is_old)) for stage in stages] for _, stages, is_old in wanted]
        records, access = live.records()
    finally:
        live.close()
    blocking, passed, stopped, failed = crs_live.blocking_rules(suite.rules), 0, [], []
    for (name, stages, _), answers in zip(wanted, told):
        outcomes = [judged(name, stage["output"], answer, records.get(answer.request_id),
                           access.get(answer.request_id, {}).get("polder.refusal"), blocking)
                    for stage, answer in zip(stages, answers)]
        problems = [problem for found, _ in outcomes for problem in found]
        reasons = [why for _, why in outcomes if why]
        if problems:
            failed.append((name, problems))
        elif reasons:
            stopped.append((name, reasons))
        passed += not problems and not reasons
    counted, failed = by_counters(suite, options, wanted, failed)
    passed += len(counted)
    print(f"crs {suite.name} through the gate: {passed} passed ({len(counted)} of them shown by counters), {len(stopped)} stopped "
          f"earlier by the gate, {len(failed)} failed, {left_out} left out (disabled by the suite)")
    for name, reasons in stopped:
        print(f"  {name}: stopped: {'; '.join(reasons)}")
    for name, problems in failed if options.list or len(failed) <= 20 else []:
        print(f"  {name}: {'; '.join(problems)}")
    return not failed


def logged(verdict):
    return {match["id"] for match in verdict["matches"] if match["logged"]}


def compare(suite, options):
    """Every request of a suite through waf-eval and through a peer: which rules only one of them logged."""
    same, differing, left_out, by_rule = 0, 0, 0, {}
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as conf:
        conf.write(configuration(suite))
        conf.flush()
        ours, theirs = Evaluator(options.eval, conf.name), Evaluator(options.peer, conf.name)
        for name, stages, enabled, is_old in tests_in(suite.tests):
            for stage in stages if enabled and name.startswith(options.only or "") else []:
                try:
                    request, _ = prepared(stage["input"], is_old)
                except Refused:
                    left_out += 1
                    continue
                mine, other = logged(ours.run(request)), logged(theirs.run(request))
                same += mine == other
                differing += mine != other
                for number in mine ^ other:
                    side = "only ours" if number in mine else "only theirs"
                    by_rule.setdefault((number, side), []).append(name)
        ours.close()
        theirs.close()
    print(f"crs {suite.name} beside the peer: {same} requests alike, {differing} not, {left_out} left out (400)")
    for (number, side), names in sorted(by_rule.items()) if options.list else []:
        print(f"  {number} {side}: {len(names)}: {' '.join(names[:6])}{' ...' if len(names) > 6 else ''}")
    return True


def hold_engines(suite, options):
    """Every request of a suite, and ten made from each by chance, through both engines by waf-compare."""
    wanted, _ = wanted_tests(suite, options)
    with tempfile.TemporaryDirectory() as folder:
        conf, prefilter = Path(folder, "rules.conf"), Path(folder, "prefilter")
        conf.write_text(configuration(suite))
        process = subprocess.Popen([options.engines, conf, prefilter, "10"], stdin=subprocess.PIPE)
        for _, stages, is_old in wanted:
            for stage in stages:
                try:
                    request, _ = prepared(stage["input"], is_old)
                except Refused:
                    continue
                process.stdin.write(json.dumps(request, ensure_ascii=False).encode() + b"\n")
        process.stdin.close()
        print(f"crs {suite.name}, engine against engine: {'alike' if process.wait() == 0 else 'they differ'}")
        return process.returncode == 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--eval", default=HERE.parent.parent / "build/release/tests/suites/waf-eval")
    parser.add_argument("--suites", default=HERE.parent.parent.parent / "shared/suites", type=Path)
    parser.add_argument("--version", choices=["3.3.4", "4.28.0"], help="only that one")
    parser.add_argument("--overrides", help="outcomes published for a kind of engine")
    parser.add_argument("--list", action="store_true", help="all that did not pass, not only when they are few")
    parser.add_argument("--peer", help="waf-peer: compare every request's logged rules instead of running the tests")
    parser.add_argument("--engines", help="waf-compare: hold the engines against each other instead")
    parser.add_argument("--live", action="store_true", help="through a running gate")
    parser.add_argument("--gate", help="another polder-gate than that of build/release")
    parser.add_argument("--only", help="tests whose name begins so")
    options = parser.parse_args()
    fine = True
    for suite in suites_in(options.suites / "crs"):
        if options.version and suite.name != options.version:
            continue
        missing = next((path for path in (suite.tests, suite.setup, suite.rules) if not path.exists()), None)
        if missing:
            print(f"crs {suite.name}: left out: there is no {missing}")
            continue
        run = hold_engines if options.engines else compare if options.peer else run_live if options.live else run_suite
        fine = run(suite, options) and fine
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
