#!/usr/bin/python3
"""Who may include whom, and which functions nobody may call.

    tools/layers.py              checks src/ of this tree
    tools/layers.py --self-test  checks that each rule below refuses what it should

A folder includes from the rows above its own, from itself, and from a folder of its own row only where
that is named. What may not be called, and why, stands in BANNED.
"""
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

ROWS = [
    ["base"],
    ["sys", "json", "ipc"],
    ["config", "http", "tls"],
    ["waf", "admission", "isolation", "verdict", "advisory", "notice", "fhir", "access"],
    ["filter", "store"],
    ["proxy", "rest"],
    ["gate", "records", "cli"],
]
ROW_OF = {folder: row for row, folders in enumerate(ROWS) for folder in folders}

# Exceptions: a neighbour of the own row that may be used, and a folder above that may not.
MAY = {("ipc", "sys"), ("tls", "config"), ("waf", "fhir")}
PURE_HEARTS = ROWS[3]
MAY_NOT = {(folder, "sys") for folder in ["http", *PURE_HEARTS]} | {
    ("proxy", "store"), ("proxy", "filter"), ("rest", "filter"), ("rest", "tls"), ("rest", "waf")}

# Folders without system calls and clocks: these headers would bring them in.
PURE = ["base", "json", "http", *PURE_HEARTS]
IMPURE_HEADERS = {
    "unistd.h", "fcntl.h", "time.h", "poll.h", "pthread.h", "signal.h", "sys/socket.h", "sys/epoll.h", "sys/mman.h",
    "sys/stat.h", "sys/time.h", "sys/wait.h", "sys/ioctl.h", "sys/syscall.h", "sys/prctl.h", "sys/timerfd.h",
}
IMPURE_EXCEPTIONS = set()  # (file, header): with the reason beside it

BANNED = {
    "strcpy": "writes without a bound; use base/buf.h",
    "strcat": "writes without a bound; use base/buf.h",
    "stpcpy": "writes without a bound; use base/buf.h",
    "strncpy": "leaves out the NUL or writes too many; use base/buf.h",
    "strncat": "its bound is not the size of the target; use base/buf.h",
    "sprintf": "writes without a bound; use buf_printf",
    "vsprintf": "writes without a bound; use buf_printf",
    "gets": "reads without a bound",
    "scanf": "reads without a bound; parse with base/str.h",
    "sscanf": "overflows in silence; parse with base/str.h",
    "strtok": "global state; use base/str.h",
    "alloca": "stack of a size the peer chooses",
    "system": "runs a shell",
    "popen": "runs a shell",
    "rand": "predictable",
    "tmpnam": "race between name and file",
    "mktemp": "race between name and file",
}
BANNED_CALL = re.compile(r"(?<![\w.>])(?:__builtin_)?(" + "|".join(BANNED) + r")\s*\(")

# snprintf says what it would have written (CVE-2023-4966): its value may only be thrown away. The two places
# that look at it are the writers everything else goes through: buf.c compares it with the room there is,
# arena.c asks for that much room first.
SNPRINTF_USED = re.compile(r"([^;{}\s]|\breturn|\belse)\s*\bv?snprintf\s*\(")
SNPRINTF_MAY = {"base/buf.c", "base/arena.c"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]', re.M)
NOT_CODE = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def blank(text, keep_strings=False):
    """Comments (and strings) become spaces, so that line numbers stay."""
    def spaces(match):
        if keep_strings and match.group(0)[0] in "\"'":
            return match.group(0)
        return re.sub(r"[^\n]", " ", match.group(0))
    return NOT_CODE.sub(spaces, text)


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def include_problem(file, folder, bracket, header):
    target = header.split("/")[0]
    if bracket == '"' and "/" not in header and not header.endswith(".inc"):
        return f'includes "{header}" without its folder'
    if bracket == "<" and folder in PURE and header in IMPURE_HEADERS and (file, header) not in IMPURE_EXCEPTIONS:
        return f"{folder} makes no system calls and reads no clock: <{header}> is not for it"
    if bracket == "<" or "/" not in header or target == folder:
        return None
    if target not in ROW_OF:
        return f'includes "{header}": no row has a folder {target}'
    if (folder, target) in MAY:
        return None
    if (folder, target) in MAY_NOT:
        return f"{folder} may not use {target}"
    if ROW_OF[target] >= ROW_OF[folder]:
        where = "its own row" if ROW_OF[target] == ROW_OF[folder] else "below"
        return f"{folder} (row {ROW_OF[folder]}) may not use {target} (row {ROW_OF[target]}), which stands in {where}"
    return None


def check_file(source, path):
    file = str(path.relative_to(source))
    folder = file.split("/")[0]
    text = path.read_text(errors="replace")
    if folder not in ROW_OF:
        return [f"src/{file}:1: no row has a folder {folder}"]
    found = []
    code = blank(text, keep_strings=True)
    for match in INCLUDE.finditer(code):
        problem = include_problem(file, folder, match.group(1), match.group(2))
        if problem:
            found.append((line_of(code, match.start(2)), problem))
    code = blank(text)
    for match in BANNED_CALL.finditer(code):
        found.append((line_of(code, match.start(1)), f"{match.group(1)}(): {BANNED[match.group(1)]}"))
    if file not in SNPRINTF_MAY:
        without_void = re.sub(r"\(\s*void\s*\)", lambda m: " " * len(m.group(0)), code)
        for match in SNPRINTF_USED.finditer(without_void):
            found.append((line_of(code, match.end() - 1), "the value of snprintf is used: use base/buf.h"))
    return [f"src/{file}:{line}: {problem}" for line, problem in sorted(found)]


def check_tree(source):
    problems, count = [], 0
    for path in sorted(source.rglob("*")):
        if path.suffix in (".c", ".h", ".def"):
            count += 1
            problems += check_file(source, path)
    return count, problems


# file, text, words of the problem that must be seen (None: none may be)
SELF_TEST = [
    ("base/a.c", '#include "sys/loop.h"\n', "which stands in below"),
    ("base/b.c", '#include <sys/socket.h>\n', "makes no system calls"),
    ("sys/a.c", '#include <sys/socket.h>\n#include "base/str.h"\n#include "sys/loop.h"\n', None),
    ("json/a.c", '#include "sys/loop.h"\n', "its own row"),
    ("ipc/a.c", '#include "sys/channel.h"\n', None),
    ("tls/a.c", '#include "config/config.h"\n#include "ipc/messages.h"\n', None),
    ("config/a.c", '#include "tls/conn.h"\n', "its own row"),
    ("http/a.c", '#include "sys/net.h"\n', "http may not use sys"),
    ("waf/a.c", '#include "fhir/types.h"\n', None),
    ("waf/b.c", '#include "isolation/isolation.h"\n', "its own row"),
    ("proxy/a.c", '#include "store/store.h"\n', "proxy may not use store"),
    ("gate/a.c", '#include "cli/cli.h"\n', "its own row"),
    ("gate/b.c", '#include "proxy/proxy.h"\n', None),
    ("gate/c.c", '#include "elsewhere/x.h"\n', "no row has a folder elsewhere"),
    ("elsewhere/a.c", "\n", "no row has a folder elsewhere"),
    ("gate/d.c", '#include "main.h"\n', "without its folder"),
    ("gate/e.c", "void f(char *d) { strcpy(d, g); }\n", "strcpy()"),
    ("gate/f.c", "void f(char *d) { __builtin_sprintf(d, g); }\n", "sprintf()"),
    ("gate/g.c", '/* strcpy(a, b) */ const char *x = "system(1)"; void my_system(void); // gets(x)\n', None),
    ("gate/h.c", "void f(void) { int n = snprintf(p, 1, q); }\n", "value of snprintf"),
    ("gate/i.c", "int f(void) { return snprintf(p, 1, q); }\n", "value of snprintf"),
    ("gate/j.c", "void f(void) { g(); snprintf(p, 1, q);\n (void)snprintf(p, 1, q); }\n", None),
    ("gate/k.c", "void f(struct x *x) { x->system(1); }\n", None),
    ("gate/l.c", "void f(int n) { char *p = alloca(n); }\n", "alloca()"),
]


def self_test():
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch)
        for file, text, expected in SELF_TEST:
            path = source / file
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            problems = check_file(source, path)
            right = not problems if expected is None else any(expected in problem for problem in problems)
            if not right:
                failed += 1
                print(f"self-test: {file}: expected {expected!r}, saw {problems}")
    print(f"self-test: {len(SELF_TEST)} cases, {failed} wrong")
    return 1 if failed else 0


def main(arguments):
    if "--self-test" in arguments:
        return self_test()
    count, problems = check_tree(ROOT / "src")
    print("\n".join(problems + [f"layers: {count} files, {len(problems)} problems"]))
    return 1 if problems or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
