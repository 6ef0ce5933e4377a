#!/usr/bin/python3
"""The programs that are installed are hardened as the build promises: readelf says so of each."""
import subprocess
import sys
from pathlib import Path

CHECKS = (  # what, arguments of readelf, text that must be there, text that must not
    ("position independent", ["-h"], "DYN (Position-Independent", None),
    ("bound at start", ["-d"], "BIND_NOW", None),
    ("read-only relocations", ["-lW"], "GNU_RELRO", None),
    ("no executable stack", ["-lW"], "GNU_STACK", "RWE"),
    ("stack protector", ["-sW"], "__stack_chk_fail", None),
    ("checked copies", ["-sW"], "_chk@", None),
)
ENDBR64 = b"\xf3\x0f\x1e\xfa"  # where an indirect branch may land (-fcf-protection); Debian's own start-up code has none,
LANDINGS_MIN = 100             # so the linker leaves the program's IBT note out: the instructions are what can be seen


def main(programs):
    failed = 0
    for program in programs:
        for what, arguments, wanted, unwanted in CHECKS:
            said = subprocess.run(["readelf", *arguments, program], stdout=subprocess.PIPE, text=True, check=True).stdout
            good = wanted in said and not (unwanted and unwanted in said)
            failed += not good
            if not good:
                print(f"{program}: not hardened: {what}")
        landings = Path(program).read_bytes().count(ENDBR64)
        if landings < LANDINGS_MIN:
            failed += 1
            print(f"{program}: not hardened: only {landings} landing places for indirect branches")
    print(f"hardening: {len(programs)} programs, {failed} problems")
    return 1 if failed or not programs else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
