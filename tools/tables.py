#!/usr/bin/python3
"""The documents, and the parts of documents, that are made from tables in the code.

    tools/tables.py           writes them
    tools/tables.py --check   says which differ from what would be written

A part stands between two marker lines, "... NAME:begin ..." and "... NAME:end ..."; the rest of such a file is
written by hand.
"""
import re
import sys
from pathlib import Path

import layers

ROOT = Path(__file__).resolve().parent.parent

# ---- reading the tables (*.def)

STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
PIECES = re.compile(r'"(?:[^"\\]|\\.)*"|[(),]|[^"(),]+')


def arguments(text, start):
    """The arguments of a macro call whose opening bracket is at start; strings without quotes, pieces joined."""
    depth, found = 0, [""]
    for match in PIECES.finditer(text, start):
        piece = match.group(0)
        depth += (piece == "(") - (piece == ")")
        if depth == 0:
            break
        if piece == "," and depth == 1:
            found.append("")
        elif not (piece == "(" and depth == 1):
            found[-1] += piece
    return [join_strings(argument.strip()) for argument in found]


def join_strings(argument):
    if not argument.startswith('"'):
        return argument
    return "".join(STRING.findall(argument)).replace('\\"', '"').replace("\\\\", "\\")


def rows(path, macro):
    text = (ROOT / path).read_text()
    return [arguments(text, match.end() - 1) for match in re.finditer(rf"^{macro}\(", text, re.M)]


def table(head, lines):
    text = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(text + ["| " + " | ".join(line) + " |" for line in lines])


def code(text):
    return f"`{text}`"


# ---- docs/metrics.md

LABELS = [  # the first that a name begins with counts
    ("build_info", "version"), ("refusals_total", "reason"), ("isolation_requests_total", "level, answer"), ("role_", "role, slot"),
    ("certificate_", "certificate"), ("cluster_requests_total", "cluster, code"), ("cluster_", "cluster"),
    ("upstream_endpoint_", "upstream, endpoint"), ("waf_rule_hits_total", "cluster, rule, outcome"),
    ("patch_", "cluster, patch"),
]
OWN_METRIC = re.compile(r'"([a-z_]+)", "(counter|gauge|histogram)",\s*STR\("([^"]*)"\)')


def labels_of(name):
    return next((labels for prefix, labels in LABELS if name.startswith(prefix)), "")


def metrics_page():
    own = sorted(found for name in ("observer_metrics.c", "observer_waf_answers.c")
                 for found in OWN_METRIC.findall((ROOT / "src/gate" / name).read_text()))
    # What workers count in microseconds is shown in seconds.
    counters = [(name.replace("microseconds", "seconds"), *rest) for name, *rest in rows("src/base/counters.def", "COUNTER")]
    refusals = rows("src/http/refusals.def", "REFUSAL")
    return f"""# Metrics

Made by `tools/tables.py` from `src/base/counters.def`, `src/http/refusals.def` and `src/gate/observer_metrics.c`.

`GET /metrics` on the management address and `polder metrics` give the text format of Prometheus, version 0.0.4.
Every name begins with `polder_`. docs/operations.md has a scrape configuration and useful queries.

## Of the gate

{table(["name", "type", "labels", "what"], [(code(n), kind, labels_of(n), text) for n, kind, text in own])}

## Of each worker

All have the label `worker`, its number. A worker that is replaced goes on with the totals of the one before it.

{table(["name", "type", "what"], [(code(n), kind, text) for n, kind, text in counters])}

## Refusals

The values of `reason` in `polder_refusals_total`. The same word stands in the access log as `polder.refusal`.

{table(["reason", "status", "what the client is told"], [(code(word), status, text) for _, word, status, text in refusals])}
"""


# ---- docs/events.md

def events_page():
    events = rows("src/gate/log_events.def", "LOG_EVENT_ROW")
    return f"""# Events

Made by `tools/tables.py` from `src/gate/log_events.def`.

The event log (`gate.event_log`; standard output, and so the journal, unless configured otherwise) has one JSON line
for each change in the gate, never one for a request. Every line has `@timestamp`, `event.action`, `log.level` and
`message`; where they apply also `process.pid`, `polder.role`, `polder.cluster`, `polder.upstream` and
`polder.endpoint`.

{table(["event.action", "log.level", "what happened"], [(code(name), level, text) for name, level, text in events])}
"""


# ---- parts

def is_there(folder):
    return any((ROOT / "src" / folder).glob("*.[ch]"))


def rows_part():
    beside = dict(layers.MAY)
    lines = []
    for row, folders in enumerate(layers.ROWS):
        for folder in folders:
            if not is_there(folder):
                continue
            above = [name for names in layers.ROWS[:row] for name in names if is_there(name)]
            not_those = [name for name in above if (folder, name) in layers.MAY_NOT]
            may = [name for name in above if name not in not_those] + ([beside[folder]] if folder in beside else [])
            no = ["system calls, clocks"] if folder in layers.PURE else []
            no += [code(name) for name in not_those]
            lines.append((str(row), code(folder), ", ".join(map(code, may)) or "nothing", ", ".join(no) or "-"))
    return table(["row", "folder", "may use", "may not"], lines)


def limits_part():
    limits = [row for row in rows("src/config/keys.def", "KEY") if row[0] == "LIMITS"]
    return table(["key of `limits`", "default", "what"], [(code(row[1]), row[4], row[9]) for row in limits])


def roff(text):
    """Sentences on lines of their own; options and FILE as macros."""
    text = re.sub(r"(?<=[.;]) (?=[A-Z])", "\n", text).replace(" FILE ", "\n.Ar file\n")
    text = re.sub(r"\s*--([a-z]+)([,.]?)\s*", lambda m: f"\n.Fl -{m.group(1)}{' ' + m.group(2) if m.group(2) else ''}\n", text)
    lines = [line for line in text.split("\n") if line.strip()]
    return "\n".join(line if line.startswith((".Fl", ".Ar")) else line.replace("\\", "\\e") for line in lines)


def commands_part():
    text = []
    for name, argument, _, words, more in rows("src/cli/commands.def", "COMMAND"):
        word = argument.strip("[]").lower()
        macro = f" Op Ar {word}" if argument.startswith("[") else f" Ar {word}" if argument else ""
        text += [f".It Ic {name}{macro}", roff(words), *([roff(more)] if more else [])]
    return "\n".join(text)


WHOLE = {"docs/metrics.md": metrics_page, "docs/events.md": events_page}
PARTS = [("ARCHITECTURE.md", "rows", rows_part), ("ARCHITECTURE.md", "limits", limits_part),
         ("man/polder.1", "commands", commands_part)]


def part(text, name):
    """What stands between the two marker lines, as a match whose group 2 it is."""
    found = re.search(rf"({name}:begin[^\n]*\n)(.*?)(^[^\n]*{name}:end)", text, re.S | re.M)
    if not found:
        raise SystemExit(f"tables: there are no markers {name}:begin and {name}:end")
    return found


def with_part(text, name, new):
    found = part(text, name)
    return text[:found.start(2)] + new + "\n" + text[found.end(2):]


def made():
    """path -> text, of everything that is made."""
    texts = {path: make() for path, make in WHOLE.items()}
    for path, name, make in PARTS:
        texts[path] = with_part(texts.get(path) or (ROOT / path).read_text(), name, make())
    return texts


def main(options):
    different = [path for path, text in made().items()
                 if not (ROOT / path).exists() or (ROOT / path).read_text() != text]
    if "--check" in options:
        for path in different:
            print(f"{path} differs from the tables it is made from: run tools/tables.py")
        return 1 if different else 0
    for path in different:
        (ROOT / path).write_text(made()[path])
        print(f"written {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
