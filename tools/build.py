#!/usr/bin/python3
"""Configures and builds one variant of Polder under build/.

    tools/build.py VARIANT [--prefix DIR] [NINJA TARGET ...]

An existing build folder is used again when it was made with the same options and still works, and made
anew otherwise, so that no state left by an earlier run decides what a later one says.
"""
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# variant: (compiler, meson options). Warnings are errors in all of them (meson.build).
VARIANTS = {
    "release": ("gcc", ["--buildtype=release"]),
    # The second compiler, and at once the build whose roles can be told to attack (tests/breach).
    "clang": ("clang", ["--buildtype=debugoptimized", "-Dbreach=true"]),
    "asan": ("gcc", ["--buildtype=debugoptimized", "-Doptimization=1", "-Db_sanitize=address,undefined"]),
    "fuzz": ("clang", ["--buildtype=debugoptimized", "-Dfuzz=true", "-Db_lundef=false"]),
    "cover": ("gcc", ["--buildtype=debug", "-Db_coverage=true"]),
}


def folder(variant):
    return ROOT / "build" / variant


def jobs():
    return len(os.sched_getaffinity(0))


def run(command, quiet=True, env=None, timeout=1800):
    """Runs a command without stdin; did it succeed? Quiet: its output is shown only when it did not."""
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if quiet else {}
    try:
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, env=dict(os.environ, **(env or {})),
                              timeout=timeout, text=True, errors="replace", **output)
    except FileNotFoundError:
        print(f"{command[0]}: there is no such program", flush=True)
        return False
    except subprocess.TimeoutExpired as error:
        print(f"{' '.join(command)}: did not end in {timeout} s\n{error.stdout or ''}", flush=True)
        return False
    if done.returncode != 0:
        print(f"{' '.join(command)}: failed with status {done.returncode}\n{done.stdout or ''}", flush=True)
    return done.returncode == 0


def configure(variant, prefix):
    compiler, options = VARIANTS[variant]
    where = folder(variant)
    command = ["meson", "setup", str(where), str(ROOT), f"--prefix={prefix}", *options]
    recipe = f"CC={compiler} {' '.join(command)}\n"
    stamp = where / "polder-recipe"
    if stamp.exists() and stamp.read_text() == recipe and (where / "build.ninja").exists():
        return True
    shutil.rmtree(where, ignore_errors=True)
    flags = {name: "" for name in ("CFLAGS", "CPPFLAGS", "LDFLAGS")}
    if not run(command, env={"CC": compiler, **flags}):
        return False
    stamp.write_text(recipe)
    return True


def build(variant, prefix="/usr/local", targets=()):
    if not configure(variant, prefix):
        return False
    ninja = ["ninja", "-C", str(folder(variant)), f"-j{jobs()}"]
    regenerates = subprocess.run([*ninja, "build.ninja"], cwd=ROOT, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if regenerates.returncode != 0:  # an old folder that meson can no longer bring up to date: once more, from nothing
        shutil.rmtree(folder(variant), ignore_errors=True)
        if not configure(variant, prefix):
            return False
    return run([*ninja, *targets])


def main(arguments):
    prefix = "/usr/local"
    if "--prefix" in arguments:
        at = arguments.index("--prefix")
        prefix = arguments[at + 1]
        del arguments[at:at + 2]
    if not arguments or arguments[0] not in VARIANTS:
        print(f"usage: tools/build.py {'|'.join(VARIANTS)} [--prefix DIR] [TARGET ...]", file=sys.stderr)
        return 2
    if build(arguments[0], prefix, arguments[1:]):
        print(f"built {folder(arguments[0]).relative_to(ROOT)}")
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
