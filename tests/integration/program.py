"""What the tests of the program share: running a command, running a node, and reporting as TAP.

The program to test is argv[1]. Nothing here waits for a time to pass: what must happen is waited for, and a
deadline that is far away only keeps a broken program from hanging the suite.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import unittest
import urllib.error
import urllib.request
from pathlib import Path

PROGRAM = Path(sys.argv[1]).resolve()
PATIENCE_S = 60


def clean_environment(**more):
    """The caller's TARN_ variables must not decide."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith('TARN_')}
    return {**kept, **more}


def tarn(*words, environment=None, folder=None):
    """Runs a command that ends by itself."""
    return subprocess.run([PROGRAM, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=PATIENCE_S, check=False, cwd=folder, env=clean_environment(**(environment or {})))


def wait_until(what, condition):
    """The condition's first true value."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f'{what}: not within {PATIENCE_S} s')


class Node:
    """`tarn serve` in a folder of its own, stopped at the end whatever happens."""

    def __init__(self, folder, *words, environment=None, http='127.0.0.1:0'):
        self.folder = Path(folder)
        self.out = self.folder / f'out-{time.monotonic_ns()}'
        self.err = self.out.with_name(self.out.name.replace('out', 'err'))
        with open(self.out, 'w') as out, open(self.err, 'w') as err:
            self.process = subprocess.Popen(
                [PROGRAM, 'serve', '--http', http, '--memory', '64M', *map(str, words)], stdout=out, stderr=err,
                cwd=folder, env=clean_environment(**(environment or {})))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)

    def started(self):
        """Waits for the last start line. Returns self."""
        wait_until('the start', lambda: re.search(r'^  \S+ limits\n', self.output(), re.M) or self.ended())
        assert self.process.poll() is None, f'it ended with {self.process.returncode}:\n{self.errors()}'
        return self

    def ended(self):
        return self.process.poll() is not None

    def output(self):
        return self.out.read_text()

    def errors(self):
        return self.err.read_text()

    @property
    def port(self):
        return int(re.search(r'http://127\.0\.0\.1:(\d+)/', self.output()).group(1))

    def get(self, path):
        """(status, content type, body)"""
        request = urllib.request.Request(f'http://127.0.0.1:{self.port}{path}')
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as reply:
                return reply.status, reply.headers['Content-Type'], reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers['Content-Type'], error.read().decode()

    def stop(self, number=signal.SIGTERM):
        """Sends the signal; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


class Case(unittest.TestCase):
    """A case has an empty folder."""

    maxDiff = None

    def setUp(self):
        self.work = tempfile.TemporaryDirectory(prefix='tarn-test-')
        self.addCleanup(self.work.cleanup)
        self.folder = Path(self.work.name)

    def node(self, *words, **more):
        node = Node(self.folder, *words, **more)
        self.addCleanup(node.__exit__)
        return node

    def assert_one_line(self, text):
        self.assertEqual(text.count('\n'), 1, text)
        self.assertTrue(text.endswith('\n'), text)

    def assert_narrow(self, text):
        for line in text.splitlines():
            self.assertLessEqual(len(line), 80, line)


class TapResult(unittest.TestResult):
    """Prints each case as it ends, with the problems of its parts."""

    def startTest(self, test):
        super().startTest(test)
        self.problems, self.skip, self.start = [], '', time.monotonic()

    def stopTest(self, test):
        super().stopTest(test)
        name = test.id().removeprefix('__main__.')
        print(f'{"not ok" if self.problems else "ok"} {self.testsRun} - {name}'
              f'{" # SKIP " + self.skip if self.skip else ""}')
        print(f'# {time.monotonic() - self.start:.1f} s')
        for line in ''.join(self.problems).splitlines():
            print(f'# {line}')
        sys.stdout.flush()

    def addSkip(self, test, reason):
        self.skip = reason

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.problems += traceback.format_exception(*error)

    def addError(self, test, error):
        super().addError(test, error)
        self.problems += traceback.format_exception(*error)

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error:
            self.problems += [f'{subtest.id()}\n', *traceback.format_exception(*error)]


def main():
    """Runs the cases of the calling program; argv[2…] names some of them."""
    names = sys.argv[2:]
    module = sys.modules['__main__']
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromNames(names, module) if names else loader.loadTestsFromModule(module)
    print(f'1..{suite.countTestCases()}', flush=True)
    result = TapResult()
    suite.run(result)
    sys.exit(0 if result.wasSuccessful() else 1)
