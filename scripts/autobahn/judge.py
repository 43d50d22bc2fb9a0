"""Judges the reports of Autobahn's fuzzing client, one index.json for each listener, and prints a table of each.

Fails unless each case behaved, and ended its connection, as `OK`, `NON-STRICT` or `INFORMATIONAL`, and unless all cases
of the groups that WANTED names ("1 2 12") were run, as far as a listener has the group's.
"""

import json
import os
import sys

# The suite's cases in each group.
CASES = {"1": 16, "2": 11, "3": 7, "4": 10, "5": 20, "6": 145, "7": 37, "9": 54, "10": 1, "12": 90, "13": 126}
# Groups that are of compression.
COMPRESSED = ["12", "13"]
FINE = ["OK", "NON-STRICT", "INFORMATIONAL"]


def verdict(case):
    """The worse of how the case went and how its connection ended."""
    found = [case["behavior"], case["behaviorClose"]]
    if not all(one in FINE for one in found):
        return "FAILED"
    return max(found, key=FINE.index)


def by_number(case):
    return [int(part) for part in case.split(".")]


def table(cases):
    """A row for each group of cases, and one for all of them, each with its counts."""
    groups = {}
    for name, case in cases.items():
        groups.setdefault(name.split(".")[0], []).append(verdict(case))
    for group in sorted(groups, key=int):
        yield group, groups[group]
    yield "all", [one for group in groups.values() for one in group]


def missing(listener, cases):
    """What was to be run there and was not."""
    run = [name.split(".")[0] for name in cases]
    for group in os.environ.get("WANTED", "").split():
        there = group in CASES and not (listener == "plain" and group in COMPRESSED)
        if there and run.count(group) != CASES[group]:
            yield f"{listener}: {run.count(group)} of the {CASES[group]} cases of {group} were run"


def main(paths):
    passed = failed = 0
    for path in paths:
        with open(path, encoding="utf-8") as report:
            ((listener, cases),) = json.load(report).items()
        print(f"\n{listener}:\n")
        print("| cases | run | OK | non-strict | informational | failed |")
        print("|---|---|---|---|---|---|")
        for group, verdicts in table(cases):
            counts = [verdicts.count(one) for one in [*FINE, "FAILED"]]
            print("|", " | ".join(str(cell) for cell in [group, len(verdicts), *counts]), "|")
        print()
        for name in sorted(cases, key=by_number):
            case = cases[name]
            if verdict(case) != "OK":
                print(f"{name}: {case['behavior']}, its close {case['behaviorClose']} ({case['reportfile']})")
        bad = sum(verdict(case) == "FAILED" for case in cases.values())
        failed += bad
        passed += len(cases) - bad
        for what in missing(listener, cases):
            print(what)
            failed += 1
    print(f"\nautobahn: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


sys.exit(main(sys.argv[1:]))
