#!/usr/bin/python3
"""`tarn serve` as its users meet it: serve.py PROGRAM [Class.case…]. Prints TAP."""

import json
import os
import re
import shutil
import signal
import socket

import program
from program import Case, tarn, wait_until


class Start(Case):

    def test_says_where_its_doors_are(self):
        text = self.node().started().output()
        self.assertLess(len(text.splitlines()), 15, text)
        self.assert_narrow(text)
        self.assertIn('http://127.0.0.1:', text)
        # what does not listen yet is not claimed
        self.assertNotIn('6410', text)
        self.assertNotIn('6400', text)
        self.assertEqual(len(re.findall(r'^  (?:curl|\S+ limits)', text, re.M)), 3, text)

    def test_commands_to_paste_work(self):
        node = self.node().started()
        for url in re.findall(r'^  curl -s (\S+)$', node.output(), re.M):
            self.assertEqual(node.get(url.split(str(node.port), 1)[1])[0], 200)

    def test_http_off(self):
        node = self.node(http='off').started()
        self.assertNotIn('http://', node.output())
        self.assertNotIn('curl', node.output())
        self.assertEqual(node.stop(), 0)

    def test_makes_the_data_directory(self):
        self.node('--data', 'a/b/c').started()
        self.assertTrue((self.folder / 'a/b/c/lock').exists())

    def test_second_node_on_the_same_data(self):
        first = self.node().started()
        second = self.node()
        self.assertEqual(second.process.wait(program.PATIENCE_S), 1)
        self.assert_one_line(second.errors())
        self.assertIn(f'process {first.process.pid}', second.errors())
        self.assertEqual(first.get('/healthz')[0], 200)

    def test_port_in_use(self):
        first = self.node('--data', 'one').started()
        second = self.node('--data', 'two', http=f'127.0.0.1:{first.port}')
        self.assertEqual(second.process.wait(program.PATIENCE_S), 1)
        self.assert_one_line(second.errors())
        self.assertIn('in use', second.errors())
        self.assertIn(str(first.port), second.errors())

    def test_arbiter_that_is_not_there(self):
        # it may come later, or come back: the node goes on alone
        node = self.node('--arbiter', self.folder / 'nobody.sock').started()
        self.assertEqual(node.get('/healthz')[0], 200)
        self.assertEqual(node.stop(), 0)

    def test_data_that_cannot_be(self):
        (self.folder / 'file').write_text('')
        node = self.node('--data', 'file/below')
        self.assertEqual(node.process.wait(program.PATIENCE_S), 1)
        self.assert_one_line(node.errors())
        self.assertIn('file', node.errors())


class Pages(Case):

    def setUp(self):
        super().setUp()
        self.server = self.node('--name', 'probe', '--durability', 'none').started()

    def test_healthz(self):
        self.assertEqual(self.server.get('/healthz'), (200, 'text/plain; charset=utf-8', 'serving\n'))

    def test_metrics(self):
        status, kind, text = self.server.get('/metrics')
        self.assertEqual(status, 200)
        self.assertIn('version=0.0.4', kind)
        sample = re.compile(r'[a-zA-Z_:][\w:]*(\{[^}]*\})? [-+.\deE]+(?:inf|nan)?$', re.I)
        for line in text.splitlines():
            self.assertTrue(line.startswith(('# HELP ', '# TYPE ')) or sample.match(line), line)
        values = dict(line.rsplit(' ', 1) for line in text.splitlines() if not line.startswith('#'))
        self.assertGreater(float(values['tarn_process_resident_bytes']), 1 << 20)
        self.assertGreaterEqual(float(values['tarn_process_cpu_seconds']), 0)
        self.assertGreater(float(values['tarn_process_uptime_seconds']), 0)

    def test_metrics_count_requests(self):
        def count():
            text = self.server.get('/metrics')[2]
            return int(re.search(r'^tarn_http_requests_total (\d+)', text, re.M).group(1))
        before = count()
        self.server.get('/healthz')
        self.assertGreaterEqual(count(), before + 2)

    def test_status(self):
        code, kind, text = self.server.get('/status')
        self.assertEqual((code, kind), (200, 'application/json'))
        status = json.loads(text)
        self.assertEqual(status['name'], 'probe')
        self.assertEqual(status['phase'], 'serving')
        self.assertEqual(status['pid'], self.server.process.pid)
        self.assertEqual(status['doors'], {'http': f'127.0.0.1:{self.server.port}'})
        self.assertEqual(status['settings']['durability'], 'none')
        self.assertEqual(status['settings']['memory'], '64M')
        memory = status['memory']
        self.assertEqual(sum(part['bytes'] for part in memory['budget']), 64 << 20)
        self.assertEqual(memory['total_bytes'], 64 << 20)
        self.assertEqual(status['cores']['count'], len(os.sched_getaffinity(0)))
        for item in status['holds_back']:
            self.assertTrue(item['what'] and item['found'] and item['fix'])

    def test_dashboard_needs_nothing_from_outside(self):
        status, kind, text = self.server.get('/')
        self.assertEqual((status, kind), (200, 'text/html; charset=utf-8'))
        self.assertTrue(text.startswith('<!doctype html>'))
        self.assertNotRegex(text, r'(?:https?:)?//[a-z]')
        self.assertNotRegex(text, r'(?:src|href|@import)\s*=')

    def test_nothing_here(self):
        self.assertEqual(self.server.get('/nothing')[0], 404)
        self.assertEqual(self.server.get('/status/more')[0], 404)


class Stop(Case):

    def test_sigterm_and_ctrl_c(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            node = self.node().started()
            self.assertEqual(node.stop(number), 0, node.errors())
            self.assertIn('has stopped', node.errors())

    def test_with_open_connections(self):
        node = self.node().started()
        idle = [socket.create_connection(('127.0.0.1', node.port)) for _ in range(50)]
        self.assertEqual(node.get('/healthz')[0], 200)
        self.assertEqual(node.stop(), 0)
        for connection in idle:
            connection.close()

    def test_kill_and_start_again_on_the_same_port(self):
        node = self.node().started()
        port = node.port
        # a connection that outlives the process would keep a careless one from its port
        client = socket.create_connection(('127.0.0.1', port))
        self.assertEqual(node.stop(signal.SIGKILL), -signal.SIGKILL)
        again = self.node(http=f'127.0.0.1:{port}').started()
        self.assertEqual(again.get('/healthz')[0], 200)
        client.close()

    def test_many_times(self):
        for _ in range(10):
            self.assertEqual(self.node().started().stop(), 0)


class Signals(Case):

    def test_hangup_opens_the_log_anew(self):
        log = self.folder / 'log'
        node = self.node('--log', log).started()
        wait_until('a line in the log', lambda: log.exists() and log.read_text())
        os.rename(log, self.folder / 'old')
        node.process.send_signal(signal.SIGHUP)
        wait_until('the new log', log.exists)
        self.assertEqual(node.stop(), 0)
        self.assertIn('has stopped', log.read_text())
        self.assertIn('serves', (self.folder / 'old').read_text())
        self.assertEqual(node.errors(), '')

    def test_usr1_dumps(self):
        node = self.node().started()
        node.process.send_signal(signal.SIGUSR1)
        wait_until('the dump', lambda: 'core   0' in node.errors() and 'memory' in node.errors())
        self.assertEqual(node.get('/healthz')[0], 200)

    def test_log_as_json(self):
        node = self.node('--log-format', 'json').started()
        self.assertEqual(node.stop(), 0)
        lines = [json.loads(line) for line in node.errors().splitlines()]
        self.assertGreaterEqual(len(lines), 2)
        for line in lines:
            self.assertEqual(line['level'], 'info')

    def test_log_level(self):
        node = self.node('--log-level', 'error').started()
        self.assertEqual(node.stop(), 0)
        self.assertEqual(node.errors(), '')


class Clients(Case):

    def setUp(self):
        super().setUp()
        self.server = self.node().started()

    def send(self, data, timeout=program.PATIENCE_S):
        """What comes back until the server closes."""
        got = b''
        with socket.create_connection(('127.0.0.1', self.server.port), timeout=timeout) as connection:
            try:
                connection.sendall(data)
                while piece := connection.recv(65536):
                    got += piece
            except ConnectionError:
                pass
        return got

    def test_garbage(self):
        for data in (b'GET\r\n\r\n', b'GET / HTTP/1.1\r\n' + b'X: y\r\n' * 10000 + b'\r\n', b'G' * 100000):
            self.assertNotIn(b' 200 ', self.send(data))
        # nobody waits for an answer to these
        for data in (os.urandom(5000), b'\0' * 5000, b'\r\n' * 5000, b'GET / HTTP/1.1\r\nHos', b''):
            with socket.create_connection(('127.0.0.1', self.server.port)) as connection:
                try:
                    connection.sendall(data)
                except ConnectionError:
                    pass
        self.assertEqual(self.server.get('/healthz')[0], 200)

    def test_bodies_are_refused(self):
        reply = self.send(b'GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello')
        self.assertIn(b' 413 ', reply)
        reply = self.send(b'POST /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 99\r\n\r\n')
        self.assertIn(b' 405 ', reply)

    def test_thousand_connections(self):
        connections = [socket.create_connection(('127.0.0.1', self.server.port), timeout=program.PATIENCE_S)
                       for _ in range(1000)]
        for connection in connections:
            connection.sendall(b'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
        for connection in connections:
            self.assertIn(b' 200 ', connection.recv(4096))
        # all of them stay open, and one more is served
        self.assertEqual(self.server.get('/healthz')[0], 200)
        for connection in connections:
            connection.close()

    def test_curl(self):
        if not shutil.which('curl'):
            self.skipTest('curl is not installed')
        done = program.subprocess.run(['curl', '-sfI', f'http://127.0.0.1:{self.server.port}/status'], check=False,
                                      stdout=program.subprocess.PIPE, text=True, timeout=program.PATIENCE_S)
        self.assertEqual(done.returncode, 0)
        self.assertIn('200 OK', done.stdout)
        self.assertNotIn('{', done.stdout)


class Settings(Case):

    def refused(self, *words, environment=None):
        """The one line of an error that ends with 2."""
        done = tarn('serve', *words, environment=environment, folder=self.folder)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(done.stdout, '')
        self.assert_one_line(done.stderr)
        self.assertTrue(done.stderr.startswith('tarn serve: '), done.stderr)
        return done.stderr

    def dump(self, *words, environment=None):
        done = tarn('serve', *words, '--dump-config', environment=environment, folder=self.folder)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        return done.stdout

    def value(self, key, *words, environment=None):
        return re.search(rf'^{key} = (.*)$', self.dump(*words, environment=environment), re.M).group(1)

    def test_wrong_flags(self):
        for words, said in (
                (('--memry', '1G'), 'did you mean "memory"'), (('--memory', '1'), '64M'), (('--memory',), '--memory'),
                (('--durability', 'sometimes'), 'replicated'), (('--cores', '0'), '1 to'),
                (('--cores', '9999'), '1 to'), (('--cores', '900-901'), 'processor 900'),
                (('--core-mode', 'quick'), 'exclusive'), (('--http', '80'), '--http'),
                (('--http', '0.0.0.0:0'), '--secret'), (('--http', 'nohost.invalid:1'), 'nohost.invalid'),
                (('--listen', 'off'), '--listen'), (('--meta', 'zookeeper'), 'etcd://'), (('--name', 'a/b'), '--name'),
                (('--secret', 'missing'), 'missing'), (('--tls-cert', '/dev/null'), 'tls-key'),
                (('--log-level', 'loud'), 'warn'), (('--priority', '1'), '--arbiter'), (('--log-format', 'xml'), 'json'), (('stray',), 'stray'),
                (('--config', 'missing.conf'), 'missing.conf'), (('--hugepages', 'many'), '--hugepages')):
            with self.subTest(words=words):
                self.assertIn(said, self.refused(*words))

    def test_unknown_key_in_the_file(self):
        (self.folder / 'node.conf').write_text('# a node\nname = one\nmemroy = 1G\n')
        error = self.refused('--config', 'node.conf')
        self.assertIn('node.conf:3', error)
        self.assertIn('memroy', error)

    def test_bad_value_in_the_file(self):
        (self.folder / 'node.conf').write_text('\n\nhttp = nowhere\n')
        self.assertIn('node.conf:3', self.refused('--config', 'node.conf'))

    def test_unknown_variable(self):
        self.assertIn('TARN_MEMROY', self.refused(environment={'TARN_MEMROY': '1G'}))

    def test_flag_beats_environment_beats_file(self):
        (self.folder / 'node.conf').write_text('name = file\nmemory = 65M\nhugepages = 1\n')
        flags = ('--config', 'node.conf', '--name', 'flag')
        environment = {'TARN_NAME': 'environment', 'TARN_MEMORY': '66M'}
        self.assertEqual(self.value('name', *flags, environment=environment), 'flag')
        self.assertEqual(self.value('memory', *flags, environment=environment), '66M')
        self.assertEqual(self.value('hugepages', *flags, environment=environment), '1')

    def test_dump_can_be_read_back(self):
        first = self.dump('--name', 'x', '--memory', '100M', '--http', 'off', '--data', 'with space')
        (self.folder / 'dumped.conf').write_text(first)
        second = self.dump('--config', 'dumped.conf')

        def values(text):
            return [line for line in text.splitlines() if not line.startswith('#')]
        self.assertEqual(values(first), values(second))
        self.assertIn('name = x', values(first))

    def test_dump_starts_a_node(self):
        (self.folder / 'dumped.conf').write_text(self.dump('--name', 'dumped', '--cores', '1'))
        node = self.node('--config', 'dumped.conf').started()
        status = json.loads(node.get('/status')[2])
        self.assertEqual(status['name'], 'dumped')
        self.assertEqual(status['cores']['count'], 1)

    def test_secret_is_not_shown(self):
        (self.folder / 'secret').write_text('very-hidden-words-of-ours\n')
        self.assertNotIn('very-hidden', self.dump('--secret', 'secret'))
        node = self.node('--secret', 'secret').started()
        self.assertNotIn('very-hidden', node.get('/status')[2] + node.output() + node.errors())


if __name__ == '__main__':
    program.main()
