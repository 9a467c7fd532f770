#!/usr/bin/python3
"""Installs the library into an empty folder and uses it as a stranger would, from what was installed alone.

    install.py BUILD-FOLDER SOURCE-FOLDER

The example that opens each public header is compiled, linked with libtarn.so and with libtarn.a, and run.
Prints TAP.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# Its functions have the names of inner functions of Tarn: a library must not mind.
NEIGHBOUR = """
int fail(void) { return 1; }
int panic(void) { return 2; }
int self(void) { return 3; }
int main(void) { return fail() + panic() + self() == 6 ? 0 : 1; }
"""


class Tap:
    """Counts and prints cases."""

    def __init__(self):
        self.number = self.failed = 0

    def case(self, name, problem):
        self.number += 1
        print(f'{"not ok" if problem else "ok"} {self.number} - {name}', flush=True)
        if problem:
            self.failed += 1
            for line in problem.splitlines():
                print(f'# {line}')

    def end(self):
        print(f'1..{self.number}')
        return 1 if self.failed else 0


def run(command, **more):
    """'' when the command went well, else what it said."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120,
                              check=False, **more)
    except subprocess.TimeoutExpired:
        return f'{command[0]} is not done after 120 s'
    return '' if done.returncode == 0 else f'{" ".join(map(str, command))}\nstatus {done.returncode}\n{done.stdout}'


def output(command, **more):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, **more).stdout


def example_of(header):
    """The program in the header's opening comment: its lines stand behind ` *` and a tab. '' if there is none."""
    comment = re.match(r'\s*/\*(.*?)\*/', header.read_text(), re.S)
    lines = [line for line in (comment.group(1) if comment else '').splitlines()
             if line.startswith(' *\t') or line.strip() == '*']
    text = '\n'.join(line[3:] for line in lines)
    return text + '\n' if 'int main(' in text else ''


def shown_names(library, *flags):
    text = output(['nm', '--defined-only', '--extern-only', *flags, library])
    return {line.split()[-1] for line in text.splitlines() if re.search(r' [A-Z] ', line)}


def check_names(tap, lib):
    for name, flags in (('libtarn.so', ['-D']), ('libtarn.a', [])):
        others = {n for n in shown_names(lib / name, *flags) if not n.startswith('tarn_') and n != 'TARN_0'}
        tap.case(f'{name} shows tarn_* alone', f'also: {sorted(others)[:20]}' if others else '')


def check_examples(tap, work, headers, flags, lib):
    for header in headers:
        example = example_of(header)
        if not example and header.name in ('api.h', 'status.h'):
            continue                # what the services share; their examples use it
        if not example:
            tap.case(f'{header.name} opens with an example', 'no program with main() in its first comment')
            continue
        source = work / f'{header.stem}.c'
        source.write_text(example)
        for compiler in ('gcc', 'clang'):
            shared = work / f'{header.stem}-{compiler}-so'
            problem = run([compiler, '-std=c17', '-Wall', '-Wextra', '-Werror', source, '-o', shared, *flags['shared']])
            tap.case(f'{header.name}: the example with {compiler} and libtarn.so',
                     problem or run([shared], env={**os.environ, 'LD_LIBRARY_PATH': str(lib)}))
        static = work / f'{header.stem}-a'
        problem = run(['gcc', '-std=c17', source, '-o', static, *flags['static']])
        tap.case(f'{header.name}: the example with libtarn.a', problem or run([static]))


def check(build, repository, work):
    tap = Tap()
    tap.case('meson install', run(['meson', 'install', '-C', build, '--no-rebuild', '--destdir', work / 'root']))
    pc = next((work / 'root').rglob('tarn.pc'))
    lib = pc.parent.parent
    prefix = next((work / 'root').rglob('include/tarn')).parent.parent
    environment = {**os.environ, 'PKG_CONFIG_PATH': str(pc.parent)}
    ask = ['pkg-config', f'--define-variable=prefix={prefix}', '--cflags', '--libs', 'tarn']
    shared = output(ask, env=environment).split()
    # what comes after -ltarn are the libraries that the archive needs
    static = [str(lib / 'libtarn.a') if word == '-ltarn' else word
              for word in output([*ask, '--static'], env=environment).split()]
    check_names(tap, lib)
    (work / 'neighbour.c').write_text(NEIGHBOUR)
    archive = ['-Wl,--whole-archive', lib / 'libtarn.a', '-Wl,--no-whole-archive',
               *[word for word in static if not word.endswith('libtarn.a')]]
    tap.case('a program with functions called fail, panic and self',
             run(['gcc', work / 'neighbour.c', '-o', work / 'neighbour', *archive]) or run([work / 'neighbour']))
    headers = sorted((prefix / 'include/tarn').glob('*.h'))
    check_examples(tap, work, headers, {'shared': shared, 'static': static}, lib)
    wanted = {path.name for path in (repository / 'include/tarn').glob('*.h')}
    missing = wanted - {header.name for header in headers}
    tap.case('every public header is installed', f'missing: {sorted(missing)}' if missing else '')
    tap.case('the program runs where it was installed', run([prefix / 'bin/tarn', 'version']))
    return tap.end()


def main():
    with tempfile.TemporaryDirectory(prefix='tarn-install-') as folder:
        return check(Path(sys.argv[1]), Path(sys.argv[2]), Path(folder))


if __name__ == '__main__':
    sys.exit(main())
