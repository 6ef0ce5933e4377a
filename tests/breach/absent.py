#!/usr/bin/python3
"""absent.py PROGRAM --absent|--present: whether a program can be told to attack.

Looks for words that only the attacker in live.c, its table and the option that commands it have, and for their
symbols as far as the program was not stripped. --present is for a breach build: it shows that the look finds them.
"""
import subprocess
import sys
from pathlib import Path

WORDS = [b"--breach", b"breach=", b"--without", b"this belongs to somebody else", b"/bin/echo", b"/proc/self/maps",
         b"/proc/self/ns/net", b"/etc/shadow", b"/dev/kmsg", b"shut_listener", b"heard nobody"]
SYMBOLS = ["attack_run", "attacks", "attack_tcp_connect", "breach_begin", "breach_heard", "attacker"]


def symbols_of(program):
    listed = subprocess.run(["nm", program], capture_output=True, text=True)
    return {line.split()[-1] for line in listed.stdout.splitlines()} if listed.returncode == 0 else set()


def main(program, wanted):
    text, symbols = Path(program).read_bytes(), symbols_of(program)
    found = [word.decode() for word in WORDS if word in text] + [symbol for symbol in SYMBOLS if symbol in symbols]
    sought = len(WORDS) + (len(SYMBOLS) if symbols else 0)
    print(f"{program}: {len(found)} of {sought} found: {', '.join(found)}")
    return 0 if len(found) == (sought if wanted == "--present" else 0) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
