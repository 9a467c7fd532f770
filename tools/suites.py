#!/usr/bin/python3
"""Builds Tarn in the ways that its suites need, runs them, and counts every single test case.

Called by ./test, which has installed what is needed.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import bench_form
import coverage
import tidy

ROOT = Path(__file__).resolve().parent.parent
BUILDS = ROOT / 'build-test'
IN_CI = os.environ.get('CI', '') not in ('', '0', 'false')
CORES = len(os.sched_getaffinity(0))
COMMAND_SECONDS_MAX = 900

# How each build is made: compiler and meson's options.
# gcc sees too little at -O1 to tell what is initialised; the release build and clang do
UNSURE = '-Dc_args=-Wno-maybe-uninitialized'
SANITIZED = ['--buildtype=debug', '-Doptimization=1', '-Dchecks=true']
CONFIGURATIONS = {
    'gcc': ('gcc', ['--buildtype=release']),
    'clang': ('clang', ['--buildtype=release']),
    'debug': ('gcc', ['--buildtype=debug', '-Doptimization=1', '-Dchecks=true', UNSURE]),
    'asan': ('clang', [*SANITIZED, '-Db_sanitize=address,undefined']),
    'tsan': ('clang', [*SANITIZED, '-Db_sanitize=thread']),
    'fuzz': ('clang', [*SANITIZED, '-Db_sanitize=address,undefined', '-Dfuzz=true']),
    'coverage': ('gcc', ['--buildtype=debug', '-Db_coverage=true', UNSURE]),
}

# What the sanitizers are told; a finding ends the process, so that it fails its test.
SANITIZER_OPTIONS = {
    'ASAN_OPTIONS': 'abort_on_error=1:detect_stack_use_after_return=0:strict_string_checks=1:allocator_may_return_null=1',
    'UBSAN_OPTIONS': 'halt_on_error=1:abort_on_error=1:print_stacktrace=1',
    'TSAN_OPTIONS': 'halt_on_error=1:abort_on_error=1:second_deadlock_stack=1',
}
SLOWER = {'asan': 4, 'tsan': 6, 'fuzz': 2, 'debug': 2, 'coverage': 3}

# Suite: what it is, and (build, meson suites) in order. Lint and bench are programs of their own.
SUITES = {
    'lint': ('rules of STYLE.md, shellcheck, clang-tidy', []),
    'unit': ('one file at a time, with gcc, clang and the debug checks',
             [('gcc', ['unit']), ('clang', ['unit']), ('debug', ['unit'])]),
    'fault': ('the n-th allocation, system call or message fails, for every n', [('debug', ['fault'])]),
    'model': ('random operations against a plain reference model', [('gcc', ['model'])]),
    'sim': ('the simulator: seeds, each run twice', [('gcc', ['sim'])]),
    'fuzz': ('parsers of bytes from outside', [('fuzz', ['fuzz'])]),
    'integration': ('real processes on loopback', [('gcc', ['integration'])]),
    'rdma': ('remote memory over a NIC', [('gcc', ['rdma'])]),
    'asan': ('unit, fault and model tests under AddressSanitizer and UBSan', [('asan', ['unit', 'fault', 'model'])]),
    'tsan': ('unit and model tests under ThreadSanitizer', [('tsan', ['unit', 'model'])]),
    'bench': ('every benchmark once, for form and not for speed', []),
}
MISSING_PACKAGE = re.compile(r'not installed|is missing|no such (?:program|command)|package', re.I)


@dataclass
class Tally:
    """Counts of test cases, and what must be told at the end."""
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list = field(default_factory=list)    # (name, output)
    skips: list = field(default_factory=list)       # (name, reason)

    def ok(self):
        self.passed += 1

    def fail(self, name, output=''):
        self.failed += 1
        self.failures.append((name, output))

    def skip(self, name, reason):
        if IN_CI and MISSING_PACKAGE.search(reason):
            self.fail(name, f'skipped in CI for something that could be installed: {reason}')
            return
        self.skipped += 1
        self.skips.append((name, reason))

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.failures += other.failures
        self.skips += other.skips

    def __str__(self):
        return f'{self.passed} passed, {self.failed} failed, {self.skipped} skipped'


def say(text):
    print(text, flush=True)


# ---------------------------------------------------------------- builds

class Builds:
    """Makes each build at most once a run; remembers those that failed."""

    def __init__(self):
        self.done = {}
        self.seconds = 0.0

    def get(self, name, tally):
        """The build's folder, or None (and a failure in the tally) if it cannot be built."""
        if name not in self.done:
            started = time.monotonic()
            error = self.make(name)
            took = time.monotonic() - started
            self.seconds += took
            say(f'  build {name}: {"failed" if error else "done"} [{took:.1f} s]')
            self.done[name] = BUILDS / name if error is None else None
            if error is not None:
                tally.fail(f'build {name}', error)
        return self.done[name]

    @staticmethod
    def make(name):
        compiler, options = CONFIGURATIONS[name]
        folder = BUILDS / name
        wanted = json.dumps([compiler, options])
        stamp = folder / 'configured-as'
        if folder.exists() and (not stamp.exists() or stamp.read_text() != wanted):
            shutil.rmtree(folder)
        if not (folder / 'build.ninja').exists():
            environment = {**os.environ, 'CC': compiler}
            error = run_logged(['meson', 'setup', folder, '-Dwerror=true', *options], environment)
            if error is not None:
                return error
            stamp.write_text(wanted)
        return run_logged(['ninja', '-C', folder, '--quiet'])


def run_logged(command, environment=None):
    """None when the command went well, its output otherwise."""
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors='replace', timeout=COMMAND_SECONDS_MAX, check=False)
    except subprocess.TimeoutExpired as stuck:
        return f'not done after {COMMAND_SECONDS_MAX} s\n{(stuck.output or b"").decode(errors="replace")}'
    return None if done.returncode == 0 else done.stdout


# ---------------------------------------------------------------- meson's tests

TAP_LINE = re.compile(r'^(ok|not ok)\b\s*(\d*)\s*(?:- )?([^#]*)(#.*)?$')
BAD_RESULTS = {'FAIL', 'ERROR', 'TIMEOUT', 'INTERRUPT', 'UNEXPECTEDPASS'}


def run_meson_suites(folder, suites, label):
    """Runs the tests of some meson suites in a build and counts their cases."""
    tally = Tally()
    base = f'suite-{label}'
    log = folder / 'meson-logs' / f'{base}.json'
    log.unlink(missing_ok=True)
    command = calm_address_space() if folder.name == 'tsan' else []
    command += ['meson', 'test', '-C', folder, '--no-rebuild', '--logbase', base, '--num-processes', str(CORES),
                '--timeout-multiplier', str(SLOWER.get(folder.name, 1))]
    for suite in suites:
        command += ['--suite', suite]
    output = subprocess.run(command, cwd=ROOT, env={**os.environ, **SANITIZER_OPTIONS},
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace',
                            check=False)
    results = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    for result in results:
        count_cases(tally, result, f'{label}: {result["name"].split(" / ")[-1]}')
    if output.returncode != 0 and not results:
        tally.fail(f'{label}: meson test', output.stdout)
    return tally


def count_cases(tally, result, name):
    """Adds one finished test program: each TAP line is a case; a program without TAP is one case."""
    failed_before, skipped_before = tally.failed, tally.skipped
    cases, comments = 0, []
    everything = f'{result.get("stdout", "")}\n{result.get("stderr", "")}'.strip()
    for line in result.get('stdout', '').splitlines():
        case = TAP_LINE.match(line.strip())
        if not case:
            comments.append(line)
            continue
        cases += 1
        title, directive = case.group(3).strip() or case.group(2), (case.group(4) or '').lstrip('# ')
        if directive.lower().startswith('skip'):
            # cmocka writes `not ok 8 # SKIP title`, and the reason is in a comment before
            words = directive[4:].strip(' :')
            if case.group(3).strip():
                tally.skip(f'{name}: {title}', words or skip_reason(comments))
            else:
                tally.skip(f'{name}: {words}', skip_reason(comments))
        elif case.group(1) == 'ok' or directive.lower().startswith('todo'):
            tally.ok()
        else:
            tally.fail(f'{name}: {title}', '' if tally.failed > failed_before else everything)
    # meson takes cmocka's skips for failures
    only_skips = result['result'] == 'FAIL' and result.get('returncode') == 0 and tally.skipped > skipped_before
    if result['result'] in BAD_RESULTS and not only_skips:
        if tally.failed == failed_before:
            tally.fail(f'{name}: {result["result"].lower()} (status {result.get("returncode")})', everything)
    elif cases == 0 and result['result'] == 'SKIP':
        tally.skip(name, skip_reason(everything.splitlines()))
    elif cases == 0:
        tally.ok()


SKIP_WORDS = re.compile(r'skip|left out|lacks|has no|missing|cannot|not permitted|not installed', re.I)


def skip_reason(lines):
    """What a program that skips says: the last line that sounds like a reason, or the last line."""
    lines = [line.strip('# \t') for line in lines if line.strip() and not line.startswith(('1..', 'TAP version'))]
    reasons = [line for line in lines if SKIP_WORDS.search(line)]
    return (reasons or lines or ['no reason given'])[-1]


def calm_address_space():
    """ThreadSanitizer fails at random under much address randomisation: run without, where we may."""
    allowed = subprocess.run(['setarch', '-R', 'true'], stderr=subprocess.DEVNULL, check=False).returncode == 0
    return ['setarch', '-R'] if allowed else []


# ---------------------------------------------------------------- suites

def count_tap(tally, label, command):
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    result = {'stdout': done.stdout, 'returncode': done.returncode, 'result': 'OK' if done.returncode == 0 else 'FAIL'}
    count_cases(tally, result, label)


def count_one(tally, name, command):
    error = run_logged(command)
    if error is None:
        tally.ok()
    else:
        tally.fail(name, error)


def shell_scripts():
    """Every file of ours whose first line says bash or sh."""
    found = []
    for path in [ROOT / 'run', ROOT / 'test', *(ROOT / '.ci').iterdir(), *(ROOT / 'tools').iterdir(),
                 *(ROOT / 'bench').iterdir(), *(ROOT / 'tests').rglob('*')]:
        if path.is_file() and path.suffix in ('', '.sh'):
            with path.open('rb') as file:
                if re.match(rb'#! ?/(?:usr/)?bin/(?:env )?(?:bash|sh)\b', file.readline()):
                    found.append(path.relative_to(ROOT))
    return sorted(found)


def run_lint(builds, tally):
    count_one(tally, 'lint: tools/check', ['tools/check'])
    count_tap(tally, 'lint: tools/check_test.py', ['tools/check_test.py'])
    count_tap(tally, 'lint: tools/suites_test.py', ['tools/suites_test.py'])
    for script in shell_scripts():
        count_one(tally, f'lint: shellcheck {script}', ['shellcheck', script])
    folder = builds.get('clang', tally)
    if folder:
        for name, problems in tidy.check(ROOT, folder, BUILDS / 'tidy-seen'):
            if problems:
                tally.fail(f'lint: clang-tidy {name}', problems)
            else:
                tally.ok()


def run_bench(builds, tally):
    folder = builds.get('gcc', tally)
    if folder and not (folder / 'tarn').exists():
        say('  bench: has no benchmarks yet')
    elif folder:
        for name, problem in bench_form.check(folder / 'tarn'):
            if problem:
                tally.fail(f'bench: {name}', problem)
            else:
                tally.ok()


def run_coverage(builds, tally):
    folder = builds.get('coverage', tally)
    if not folder:
        return
    for data in folder.rglob('*.gcda'):
        data.unlink()
    tally.add(run_meson_suites(folder, ['unit', 'fault', 'model', 'integration'], 'coverage'))
    summary = folder / 'summary.txt'
    summary.write_text(coverage.summary(ROOT, folder))
    say(summary.read_text())
    say(f'  written to {summary.relative_to(ROOT)}')


def run_suite(name, builds):
    tally = Tally()
    if name == 'lint':
        run_lint(builds, tally)
    elif name == 'bench':
        run_bench(builds, tally)
    elif name == 'coverage':
        run_coverage(builds, tally)
    else:
        for build, suites in SUITES[name][1]:
            folder = builds.get(build, tally)
            if not folder:
                continue
            part = run_meson_suites(folder, suites, f'{name}-{build}' if name != build else name)
            if str(part) == str(Tally()):
                say(f'  {name}: has no tests yet')
            elif len(SUITES[name][1]) > 1:
                say(f'  {name} with {build}: {part}')
            tally.add(part)
    return tally


def tail(text, lines=60):
    kept = text.splitlines()
    if len(kept) > lines:
        kept = [f'... ({len(kept) - lines} lines before)'] + kept[-lines:]
    return '\n'.join('    ' + line for line in kept)


def main():
    parser = argparse.ArgumentParser(prog='./test', description='Runs the suites; without names, all of them.')
    parser.add_argument('suites', nargs='*', metavar='SUITE', help=', '.join(SUITES) + '; or coverage')
    parser.add_argument('--list', action='store_true', help='say what each suite does')
    arguments = parser.parse_args()
    if arguments.list:
        for name, (what, _) in SUITES.items():
            print(f'{name:12} {what}')
        return 0
    unknown = [name for name in arguments.suites if name not in SUITES and name != 'coverage']
    if unknown:
        print(f'./test: no suite "{unknown[0]}"; there are: {" ".join(SUITES)} coverage', file=sys.stderr)
        return 2
    builds, total, times = Builds(), Tally(), []
    for name in arguments.suites or SUITES:
        say(f'{name}: {SUITES[name][0] if name in SUITES else "which lines the tests reach"}')
        started, building = time.monotonic(), builds.seconds
        tally = run_suite(name, builds)
        took, built = time.monotonic() - started, builds.seconds - building
        for case, output in tally.failures:
            say(f'  FAILED {case}')
            if output:
                say(tail(output))
        for case, reason in tally.skips:
            say(f'  skipped {case}: {reason}')
        say(f'  {name}: {tally}  [{took - built:.1f} s, and {built:.1f} s to build]')
        times.append((name, took))
        total.add(tally)
    say('')
    if len(times) > 1:
        say('seconds: ' + ', '.join(f'{name} {took:.0f}' for name, took in times))
    for case, _ in total.failures:
        say(f'FAILED {case}')
    say(f'{total}')
    return 1 if total.failed else 0


if __name__ == '__main__':
    sys.exit(main())
