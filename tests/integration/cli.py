#!/usr/bin/python3
"""The command line as its users meet it: cli.py PROGRAM [Class.case…]. Prints TAP."""

import json
import re
import signal
import subprocess

import program
from program import Case, tarn, wait_until

COMMANDS = ['serve', 'arbiter', 'limits', 'bench', 'version', 'help']


class Help(Case):

    def test_overview(self):
        for words in (('help',), ('--help',), ('-h',)):
            done = tarn(*words)
            self.assertEqual((done.returncode, done.stderr), (0, ''))
            self.assertEqual(re.findall(r'^  (\w+) ', done.stdout, re.M), COMMANDS)
            self.assert_narrow(done.stdout)

    def test_each_command(self):
        for name in COMMANDS:
            with self.subTest(name):
                done = tarn(name, '--help')
                self.assertEqual((done.returncode, done.stderr), (0, ''))
                self.assertTrue(done.stdout.startswith(f'usage: tarn {name}'), done.stdout)
                self.assertIn(f'Example: tarn {name}', done.stdout)
                self.assert_narrow(done.stdout)
                self.assertEqual(tarn('help', name).stdout, done.stdout)

    def test_every_flag_is_explained(self):
        text = tarn('serve', '--help').stdout
        for line in tarn('serve', '--dump-config').stdout.splitlines():
            if not line.startswith('#') and ' = ' in line:
                self.assertRegex(text, rf'(?m)^  --{line.split(" = ")[0]} ')


class WrongUsage(Case):

    def refused(self, *words):
        done = tarn(*words, folder=self.folder)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(done.stdout, '')
        self.assert_one_line(done.stderr)
        return done.stderr

    def test_nothing(self):
        done = tarn()
        self.assertEqual((done.returncode, done.stdout), (2, ''))
        self.assertIn('serve', done.stderr)

    def test_commands(self):
        self.assertIn('"serve"', self.refused('sevre'))
        self.assertIn('"bench"', self.refused('bnech', 'threads'))
        self.assertIn('tarn help', self.refused('frobnicate'))
        self.assertIn('nothing', self.refused('help', 'nothing'))

    def test_flags(self):
        for words, said in (
                (('limits', '--jsn'), '--json'), (('limits', 'all'), 'all'), (('limits', '--data'), 'needs a value'),
                (('version', '--josn'), '--json'), (('version', 'x'), 'x'),
                (('bench', 'nothing'), 'nothing'), (('bench', 'limits', 'nothing*'), 'nothing*'),
                (('bench', 'limits', '--seconds', '-1'), '--seconds'), (('bench', 'limits', '--seconds', 'x'), 'time'),
                (('bench', 'limits', '--cores', '0'), '1 to'), (('bench', 'limits', '--cores', '1000'), '--cores'),
                (('bench', 'limits', '-j'), 'two dashes'), (('bench', '--json=yes'), 'no value')):
            with self.subTest(words=words):
                self.assertIn(said, self.refused(*words))

    def test_arbiter(self):
        for words, said in (
                (('--cores', 'x'), '--cores'), (('--backend', 'magic'), 'cpuset2'), (('--users', 'root'), 'USER:'),
                (('--users', 'root:0'), 'USER:'), (('--users', 'nobody-of-ours:0:1'), 'no user'),
                (('--group', 'nobody-of-ours'), 'no group'), (('--grace', '0'), 'range'), (('now',), 'now'),
                (('--clients', '100000'), 'range')):
            with self.subTest(words=words):
                self.assertIn(said, self.refused('arbiter', *words))


class Version(Case):

    def test_text(self):
        done = tarn('version')
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        self.assertRegex(done.stdout, r'^tarn \d+\.\d+\.\d+ \(\S+\), (gcc|clang) ')
        self.assert_narrow(done.stdout)
        self.assertIn('huge pages', done.stdout)
        self.assertEqual(tarn('--version').stdout, done.stdout)

    def test_json(self):
        done = tarn('version', '--json')
        self.assert_one_line(done.stdout)
        version = json.loads(done.stdout)
        self.assertLessEqual({'version', 'commit', 'back_ends', 'memory', 'huge_pages', 'holds_back'}, set(version))
        self.assertLessEqual({'private', 'shareable'}, set(version['memory']))


def calm(text):
    """Standard error without the remark that the machine was not quiet, which depends on the machine."""
    return ''.join(line for line in text.splitlines(True) if 'other processes used' not in line)


class Bench(Case):

    def test_list(self):
        done = tarn('bench')
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        self.assert_narrow(done.stdout)
        self.assertIn('limits: ', done.stdout)
        self.assertIn('  handover ', done.stdout)

    def test_json_lines(self):
        done = tarn('bench', 'limits', 'syscall', 'clock_*', '--json', '--seconds', '0.02')
        self.assertEqual((done.returncode, calm(done.stderr)), (0, ''))
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([row['case'] for row in rows], ['syscall', 'clock_cycles', 'clock_gettime'])
        for row in rows:
            self.assertEqual(list(row), ['bench', 'case', 'metric', 'unit', 'value', 'limit', 'of_limit', 'peer',
                                         'peer_value', 'vs_peer'])
            self.assertEqual((row['metric'], row['unit']), ('ns', 'ns'))
            self.assertGreater(row['value'], 0)
            self.assertIsNone(row['peer'])

    def test_table(self):
        done = tarn('bench', 'limits', 'syscall', '--seconds', '20ms')
        self.assertEqual((done.returncode, calm(done.stderr)), (0, ''))
        self.assert_narrow(done.stdout)
        self.assertEqual(len(done.stdout.splitlines()), 2)

    def test_disk_leaves_nothing(self):
        done = tarn('bench', 'limits', 'disk_randread_4k_qd1', '--json', '--seconds', '0.02', '--data', self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(list(self.folder.iterdir()), [])
        row = json.loads(done.stdout)
        # a file system without direct I/O says so, and has no value
        self.assertTrue(row['value'] or 'direct I/O' in done.stderr, done.stderr)

    def test_disk_that_is_not_there(self):
        done = tarn('bench', 'limits', 'disk_seqread', '--seconds', '0.02', '--data', self.folder / 'nothing')
        self.assertIn(str(self.folder / 'nothing'), done.stderr)


class Arbiter(Case):

    def test_serves_until_a_signal(self):
        path = self.folder / 'arbiter.sock'
        process = subprocess.Popen(
            [program.PROGRAM, 'arbiter', '--socket', path, '--backend', 'affinity', '--cores', '0'],
            stderr=subprocess.PIPE, text=True, env=program.clean_environment())
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.kill)
        wait_until('its socket', lambda: path.exists() or process.poll() is not None)
        # a node asks it for cores, and goes again
        node = self.node('--arbiter', path, '--priority', '3').started()
        self.assertEqual(node.get('/healthz')[0], 200)
        self.assertEqual(node.stop(), 0)
        second = tarn('arbiter', '--socket', path, '--backend', 'affinity', '--cores', '0')
        self.assertEqual(second.returncode, 1, second.stderr)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(program.PATIENCE_S), 0, process.stderr.read())
        self.assertFalse(path.exists())


if __name__ == '__main__':
    program.main()
