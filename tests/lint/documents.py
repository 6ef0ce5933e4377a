#!/usr/bin/python3
"""What is written about things that stand in tables, in code or in tests must agree with them."""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tools"))
import tables  # noqa: E402


def read(path):
    return (ROOT / path).read_text()


def quoted(path):
    return set(re.findall(r"'([^']*)'", (ROOT / path).read_text()))


# ---- the command

def commands():
    return [row[0] for row in tables.rows("src/cli/commands.def", "COMMAND")]


def command_problems():
    page, completion = read("man/polder.1"), read("dist/polder.bash")
    for command in commands():
        if not re.search(rf"^\.It Ic {command}\b", page, re.M):
            yield f"man/polder.1 does not explain the command {command}"
        if not re.search(rf'commands="[^"]*\b{command}\b', completion):
            yield f"dist/polder.bash does not complete the command {command}"
    for option in re.findall(r'\{"(--[a-z-]+)", ', read("src/cli/main.c")):
        if option.replace("--", "Fl -") not in page:
            yield f"man/polder.1 does not explain the option {option}"


# ---- what is made from tables, and what is measured

def made_problems():
    for path, text in tables.made().items():
        if not (ROOT / path).exists() or read(path) != text:
            yield f"{path} differs from the tables it is made from: run tools/tables.py"


def benchmark_problems():
    """Both are written by one run of `make bench`."""
    if not (ROOT / "docs/benchmarks.md").exists():
        return
    here, there = (tables.part(read(path), "benchmark").group(2) for path in ("README.md", "docs/benchmarks.md"))
    if here != there:
        yield "the numbers in README.md are not those of docs/benchmarks.md: run `make bench`"


def access_log_problems():
    written = set(re.findall(r'(?:json_put_\w+|put_text|put_flag|json_key)\(&?w, STR\("([^"]+)"\)',
                             read("src/gate/observer_access.c")))
    lines = tables.part(read("docs/operations.md"), "access-log").group(2).splitlines()
    told = {field for line in lines for field in re.findall(r"`([@a-z][\w.@]*)`", line.split("|")[1] if "|" in line else "")}
    for field in sorted(written ^ told):
        yield f"docs/operations.md and src/gate/observer_access.c do not agree about the field {field}"


# ---- tests that are named

def unit_tests():
    for folder in (ROOT / "tests/unit").iterdir():
        if not (folder / "meson.build").exists():
            continue
        listed = quoted(folder / "meson.build")
        yield from (f"{folder.name}_{path.stem.removeprefix('test_')}" for path in folder.glob("test_*.c")
                    if path.stem.removeprefix("test_") in listed)
        yield from re.findall(r"\btest\('(\w+)'", (folder / "meson.build").read_text())


def tests():
    wire = quoted("tests/wire/meson.build")
    return {
        "unit": set(unit_tests()),
        "fuzz": {name.removeprefix("fuzz_") for name in quoted("tests/fuzz/meson.build")
                 if (ROOT / "tests/fuzz" / f"{name}.c").exists()},
        "wire": {path.stem for path in (ROOT / "tests/wire").glob("*.py")
                 if path.stem in wire and "def test_" in path.read_text()},
        "breach": {row[0] for row in tables.rows("tests/breach/attacks.def", "ATTACK")} |
                  {path.stem for path in (ROOT / "tests/breach").glob("*.py") if "def test_" in path.read_text()},
        "lint": set(re.findall(r"\btest\('([\w-]+)'", read("tests/lint/meson.build"))),
    }


def unlisted_test_problems():
    for folder in ("wire", "breach"):
        listed = quoted(f"tests/{folder}/meson.build")
        for path in sorted((ROOT / "tests" / folder).glob("*.py")):
            if re.search(r"^def test_", path.read_text(), re.M) and not {path.stem, path.name} & listed:
                yield f"nobody runs tests/{folder}/{path.name}: the meson.build beside it does not list it"


def named_test_problems():
    known = tests()
    for page in [ROOT / "docs/threat-model.md", *sorted((ROOT / "docs/decisions").glob("*.md"))]:
        for suite, name in re.findall(r"`(unit|fuzz|wire|breach|lint)/([\w-]+)`", page.read_text()):
            if name not in known[suite]:
                yield f"{page.relative_to(ROOT)} names a test that is not there: {suite}/{name}"


# ---- the pages among themselves

WRITTEN_LATER = {"docs/benchmarks.md"}  # by `make bench`
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
FILE = re.compile(r"`((?:src|tests|tools|docs|dist|etc|man)/[\w./-]+\.\w+)`")


def link_problems():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        text = page.read_text()
        for target in LINK.findall(text):
            if not (page.parent / target).exists() and target not in WRITTEN_LATER:
                yield f"{page.relative_to(ROOT)} links to {target}, which is not there"
        for target in FILE.findall(text):
            if not (ROOT / target).exists() and target not in WRITTEN_LATER:
                yield f"{page.relative_to(ROOT)} names {target}, which is not there"
    decisions = read("docs/decisions/README.md")
    for path in sorted((ROOT / "docs/decisions").glob("0*.md")):
        if path.name not in decisions:
            yield f"docs/decisions/README.md does not list {path.name}"


CHECKS = [command_problems, made_problems, benchmark_problems, access_log_problems, named_test_problems,
          unlisted_test_problems, link_problems]

if __name__ == "__main__":
    problems = [problem for check in CHECKS for problem in check()]
    print("\n".join([*problems, f"documents: {len(problems)} problems"]))
    sys.exit(1 if problems or not commands() else 0)
