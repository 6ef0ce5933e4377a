#!/usr/bin/python3
"""What is written by hand about things that stand in a table must name all of them."""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def commands():
    return re.findall(r"^COMMAND\((\w+),", (ROOT / "src/cli/commands.def").read_text(), re.M)


def missing():
    page = (ROOT / "man/polder.1").read_text()
    completion = (ROOT / "dist/polder.bash").read_text()
    for command in commands():
        if not re.search(rf"^\.It Ic {command}\b", page, re.M):
            yield f"man/polder.1 does not explain the command {command}"
        if not re.search(rf'commands="[^"]*\b{command}\b', completion):
            yield f"dist/polder.bash does not complete the command {command}"
    for option in re.findall(r'\{"(--[a-z-]+)", ', (ROOT / "src/cli/main.c").read_text()):
        if option.replace("--", "Fl -") not in page:
            yield f"man/polder.1 does not explain the option {option}"
    decisions = (ROOT / "docs/decisions/README.md").read_text()
    for path in sorted((ROOT / "docs/decisions").glob("0*.md")):
        if path.name not in decisions:
            yield f"docs/decisions/README.md does not list {path.name}"


if __name__ == "__main__":
    problems = list(missing())
    print("\n".join([*problems, f"documents: {len(problems)} problems"]))
    sys.exit(1 if problems or not commands() else 0)
