#!/usr/bin/python3
"""What ./test counts, and for what: results of test programs of every kind. Prints TAP."""

import sys

import suites

SKIPS = """# left out: the kernel has no cpuset controller
1..3
# something else
ok 1 - a
not ok 2 # SKIP b__case
ok 3 - c # SKIP no NIC
"""

# name, (stdout, meson's result, exit status), (passed, failed, skipped), (names that failed), (reasons of skips)
CASES = [
    ('each TAP line is a case', ('1..2\nok 1 - a\nok 2 - b\n', 'OK', 0), (2, 0, 0), [], []),
    ('a failing line', ('ok 1 - a\nnot ok 2 - b\n', 'ERROR', 1), (1, 1, 0), ['x: b'], []),
    ('a crash between two cases', ('1..2\nok 1 - a\n', 'ERROR', -11), (1, 1, 0), ['x: error (status -11)'], []),
    ('a program that never ends', ('', 'TIMEOUT', -15), (0, 1, 0), ['x: timeout (status -15)'], []),
    ("skips, cmocka's and others'", (SKIPS, 'FAIL', 0), (1, 0, 2), [],
     ['left out: the kernel has no cpuset controller', 'no NIC']),
    ('a skip beside a failure', ('not ok 1 # SKIP a\nnot ok 2 - b\n', 'ERROR', 1), (0, 1, 1), ['x: b'],
     ['no reason given']),
    ('a program without TAP', ('done\n', 'OK', 0), (1, 0, 0), [], []),
    ('a program without TAP that fails', ('wrong\n', 'FAIL', 1), (0, 1, 0), ['x: fail (status 1)'], []),
    ('a program without TAP that skips', ('skipped: no cgroup v2\n', 'SKIP', 77), (0, 0, 1), [],
     ['skipped: no cgroup v2']),
]


def main():
    failed = 0
    print(f'1..{len(CASES) + 1}')
    for number, (name, (stdout, result, status), counts, names, reasons) in enumerate(CASES, 1):
        tally = suites.Tally()
        suites.IN_CI = False
        suites.count_cases(tally, {'stdout': stdout, 'result': result, 'returncode': status}, 'x')
        found = ((tally.passed, tally.failed, tally.skipped), [n for n, _ in tally.failures], [r for _, r in tally.skips])
        good = found == (counts, names, reasons)
        failed += not good
        print(f'{"ok" if good else "not ok"} {number} - {name}')
        if not good:
            print(f'# expected {(counts, names, reasons)}\n# found    {found}')
    suites.IN_CI = True
    tally = suites.Tally()
    tally.skip('x', 'gdb is not installed')
    good = (tally.failed, tally.skipped) == (1, 0)
    print(f'{"ok" if good else "not ok"} {len(CASES) + 1} - in CI a missing package is no reason')
    return 1 if failed or not good else 0


if __name__ == '__main__':
    sys.exit(main())
