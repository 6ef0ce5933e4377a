#!/usr/bin/python3
"""Our engine beside ModSecurity's, on the same rules and the same requests; whatever differs and is not declared fails.

    waf_differ.py [--peer httpd|library] [--sets NAME ...] [--seed N] [--count N] [--show N] [--eval FILE] [--library FILE]

httpd: Debian's Apache httpd with ModSecurity 2.9, the truth for what rules mean: every matched value is compared,
with its name and in its order. library: libmodsecurity 3 (waf-peer), another reading: the set of rules that matched.
Differences that are meant stand in waf_known.py, with their reasons, and are counted. Prints a line for each set of
rules; the requests of a run come from --seed. Exit: 1 if anything differed that is not declared.
"""
import argparse
import collections
import functools
import json
import re
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import waf_httpd  # noqa: E402
import waf_known  # noqa: E402
from crs import Evaluator  # noqa: E402
from random_requests import Requests  # noqa: E402
from waf_rulesets import SETS, crs_rules, text_of  # noqa: E402

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent.parent / "build/release/tests/suites"


class Ours:
    def __init__(self, program, rules):
        self.evaluator = Evaluator(program, rules)

    def run(self, request):
        verdict = self.evaluator.run(request)
        if verdict["left_out"]:
            raise SystemExit("waf-eval could not keep all matches: fewer rules in a set")
        return [(match["id"], match["data"].encode("latin-1")) for match in verdict["matches"] if match["logged"]]

    def close(self):
        self.evaluator.close()


class Library:
    def __init__(self, program, rules):
        self.evaluator = Evaluator(program, rules)

    def run(self, request):
        return [(match["id"], b"") for match in self.evaluator.run(request)["matches"]]

    def close(self):
        self.evaluator.close()


def named_alike(data):
    """The name of a value as 2.9 writes it: other bytes than ASCII escaped, XML for both of its paths."""
    name, equals, value = data.partition(b"=")
    name = re.sub(rb"^XML:/.*", b"XML", name)
    return re.sub(rb"[^ -~]|\\\\", lambda found: b"\\\\" if found.group() == b"\\" else b"\\x%02x" % found.group()[0], name) + equals + value


def differences(ours, theirs, by_rule_only):
    """[(rule, what only we have, what only they have)]: by rule, values in order."""
    values = ({}, {})
    for number, data in ours:
        values[0].setdefault(number, []).append(named_alike(data))
    for number, data in theirs:
        values[1].setdefault(number, []).append(data)
    found = []
    for number in sorted(values[0].keys() | values[1].keys()):
        mine, other = values[0].get(number, []), values[1].get(number, [])
        if bool(mine) != bool(other) if by_rule_only else mine != other:
            found.append((number, mine, other))
    return found


def run_set(name, options, folder):
    rules = Path(folder) / f"{name}.conf"
    rules.write_text(text_of(name))
    is_library = options.peer == "library"
    ours = Ours(options.eval, rules)
    work = Path(folder) / f"httpd-{name}"
    work.mkdir()
    peer = Library(options.library, rules) if is_library else waf_httpd.Httpd(rules, work)
    requests, counts, undeclared = Requests(options.seed), collections.Counter(), []
    try:
        for _ in range(options.count):
            request = requests.request()
            theirs = peer.run(request)
            if theirs is None:
                counts["left out"] += 1
                continue
            mine = ours.run(request)
            reasons, ids = set(), ({number for number, _ in mine}, {number for number, _ in theirs})
            for number, have, other in differences(mine, theirs, is_library or name == "crs"):
                case = waf_known.Case(rule_of(name, number), number, have, other, request, *ids)
                reason = waf_known.reason_of(options.peer, case)
                reasons.add(reason)
                counts[f"declared: {reason}"] += reason is not None
                if reason is None:
                    undeclared.append((number, have, other, request))
            counts["alike"] += not reasons
            counts["differing"] += None in reasons
    finally:
        peer.close()
        ours.close()
    report(name, options, counts, undeclared)
    return not undeclared


def report(name, options, counts, undeclared):
    print(f"waf {name} beside {options.peer}: {counts['alike']} of {options.count} requests alike, {counts['differing']} not, "
          f"{counts['left out']} left out (answered before the rules)")
    for reason, count in sorted(counts.items()):
        if reason.startswith("declared"):
            print(f"  {reason}: {count}")
    by_rule = {}
    for number, *rest in undeclared:
        by_rule.setdefault(number, []).append(rest)
    for number, cases in sorted(by_rule.items()):
        print(f"  not declared: {rule_of(name, number)}: {len(cases)}")
        for mine, other, request in cases[:options.show]:
            only = [value for value in mine if value not in other], [value for value in other if value not in mine]
            mine, other = only if only[0] or only[1] else (mine, other)
            print(f"    ours   {shortened(mine)}\n    theirs {shortened(other)}\n    {json.dumps(request)}")


@functools.lru_cache(None)
def rule_of(name, number):
    """Targets, operator, number and transformations."""
    if name == "crs":
        return f"{crs_rules().get(number, '')} ({number})"
    found = re.search(f'^SecRule (.*?) "id:{number},(.*)', text_of(name), re.M)
    return found.group(1) + f" ({number}) " + " ".join(re.findall(r"t:\w+", found.group(2)))


def shortened(values):
    return "nothing" if not values else str(values)[:500]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", choices=["httpd", "library"], default="httpd")
    parser.add_argument("--sets", nargs="*", choices=list(SETS), help="all, but crs beside the library: crs.py --peer shows that")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=2000, help="requests for each set of rules")
    parser.add_argument("--show", type=int, default=1, help="examples to show for each rule that differed")
    parser.add_argument("--eval", default=BUILD / "waf-eval")
    parser.add_argument("--library", default=BUILD / "waf-peer")
    return parser.parse_args()


def main():
    options = parse_arguments()
    if options.peer == "httpd" and not waf_httpd.is_installed():
        print("waf beside httpd: left out: Apache httpd with ModSecurity 2.9 is not installed (libapache2-mod-security2)")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        sets = options.sets or [name for name in SETS if options.peer == "httpd" or name != "crs"]
        fine = [run_set(name, options, folder) for name in sets]
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
