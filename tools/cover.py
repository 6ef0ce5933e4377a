#!/usr/bin/python3
"""Builds with coverage, runs the tests and writes build/cover/report/index.html."""
import sys

import build
import test


def main():
    if not build.build("cover"):
        return 1
    count = test.run_tests("cover", ["unit", "fuzz", "wire"], 2)
    report = build.folder("cover") / "report"
    report.mkdir(exist_ok=True)
    reported = build.run(["gcovr", "--root", str(build.ROOT), "--filter", "src/", "--exclude-throw-branches",
                          "--print-summary", "--html-details", str(report / "index.html"), str(build.folder("cover"))],
                         quiet=False)
    print(f"report: {(report / 'index.html').relative_to(build.ROOT)}")
    print(count)
    return 0 if reported and count.failed == 0 and count.passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
