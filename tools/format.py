#!/usr/bin/python3
"""clang-format 14 over the C files of the tree: in place, or with --check only saying which differ."""
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("src", "tests")


def c_files():
    return sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.[ch]"))


def main(arguments):
    files = [str(path) for path in c_files()]
    if not files:
        print("format: no files")
        return 1
    mode = ["--dry-run", "-Werror"] if "--check" in arguments else ["-i"]
    return subprocess.run(["clang-format", "--style=file", *mode, *files], stdin=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
