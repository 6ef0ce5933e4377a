#!/usr/bin/python3
"""The checks of the code that read and do not run it: all of them, with what each cost."""
import re
import subprocess
import sys
import time

import build
import format as layout


def quiet(*command):
    return lambda: build.run(list(command))


def clang_tidy():
    if not build.build("clang"):
        return False
    sources = [str(path) for path in sorted((build.ROOT / "src").rglob("*.c"))]
    done = subprocess.run(["run-clang-tidy", "-quiet", f"-j{build.jobs()}", "-p", str(build.folder("clang")), *sources],
                          cwd=build.ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    found = sorted(set(re.findall(r"^.*: (?:error|warning): .*$", plain, re.M)))
    if done.returncode != 0:
        print("\n".join(found) or plain[-4000:])
    return done.returncode == 0


def cppcheck():
    return build.run(["cppcheck", "--quiet", "--std=c11", "--enable=warning,performance,portability", "--inline-suppr",
                      "--error-exitcode=1", f"-j{build.jobs()}", "--library=posix,gnu", "-D_GNU_SOURCE",
                      "-DPOLDER_VERSION=\"0\"", f"-I{build.ROOT}/src", "--suppress=missingIncludeSystem",
                      f"--suppressions-list={build.ROOT}/tools/cppcheck.txt", str(build.ROOT / "src")])


def shellcheck():
    files = [path for folder in ("tools", ".ci", "dist") for path in (build.ROOT / folder).iterdir() if path.is_file()]
    is_shell = lambda path: path.read_bytes().split(b"\n")[0].endswith((b"/bash", b" bash", b"/sh", b"shell=bash"))
    return build.run(["shellcheck", *(str(path) for path in files if is_shell(path))])


def manual_pages():
    pages = sorted(str(path) for path in (build.ROOT / "man").glob("*.[1-9]"))
    return build.run(["mandoc", "-Tlint", "-Wwarning", *pages])


def python_compiles():
    return build.run(["/usr/bin/python3", "-c",
                      "import ast, pathlib\n"
                      "for p in [*pathlib.Path('tools').rglob('*.py'), *pathlib.Path('tests').rglob('*.py')]:\n"
                      "    ast.parse(p.read_text(), str(p))"])


CHECKS = [
    ("layers", quiet("/usr/bin/python3", "tools/layers.py")),
    ("format", lambda: layout.main(["--check"]) == 0),
    ("python", python_compiles),
    ("shellcheck", shellcheck),
    ("manual pages", manual_pages),
    ("cppcheck", cppcheck),
    ("clang-tidy", clang_tidy),
]


def main():
    failed = 0
    for name, check in CHECKS:
        start = time.monotonic()
        passed = check()
        failed += not passed
        print(f"{time.monotonic() - start:7.1f} s  {name}: {'passed' if passed else 'FAILED'}", flush=True)
    print(f"{len(CHECKS) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
