#!/usr/bin/python3
"""Plants one violation of every rule of tools/check in a small tree and sees each of them found.

Prints TAP. A rule without a case here would be a wish.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

CHECK = Path(__file__).resolve().parent / 'check'
REPOSITORY = CHECK.parent.parent

CLEAN = {
    'src/base/good.h': '/* A header. */\n#pragma once\n\n/* Adds. */\nint good_add(int a, int b);\n',
    'src/base/good.c': '#include "base/good.h"\n\nint good_add(int a, int b)\n{\n\treturn a + b;\n}\n',
    'src/rt/high.h': '/* A header. */\n#pragma once\n\n#include "base/good.h"\n',
    'include/tarn/open.h': '/* A public header. */\n#pragma once\n',
    'README.md': '# A tree\n',
}

LONG_BODY = '\tx++;\n' * 125
OVER_AIM = 'int long_one(int x);\n\nint long_one(int x)\n{\n' + '\tx++;\n' * 80 + '\treturn x;\n}\n'


def c(body):
    return f'int f(int x);\n\nint f(int x)\n{{\n\t{body}\n\treturn x;\n}}\n'


# name, files to add, the text that must be reported (None: the tree must be clean)
CASES = [
    ('a clean tree', {}, None),
    ('include of a floor above', {'src/base/a.c': '#include "rt/high.h"\n'}, 'base includes "rt/high.h" of a floor above'),
    ('include of a neighbour', {'src/pool/a.c': '#include "peer/p.h"\n', 'src/peer/p.h': '/* P. */\n#pragma once\n'},
     'of its neighbour'),
    ('include of sim', {'src/rt/a.c': '#include "sim/s.h"\n', 'sim/s.h': '/* S. */\n#pragma once\n'},
     'nothing in src/ knows sim/'),
    ('include without a floor', {'src/rt/a.c': '#include "high.h"\n'}, 'names no floor'),
    ('unknown floor', {'src/attic/a.c': 'typedef int a_t;\n'}, 'src/attic is no floor'),
    ('internal header from afar', {'src/rt/r_int.h': '/* R. */\n#pragma once\n', 'bench/a.c': '#include "rt/r_int.h"\n'},
     'is internal to its folder'),
    ('internal header from its unit test',
     {'src/rt/r_int.h': '/* R. */\n#pragma once\n', 'src/rt/r.c': '#include "rt/r_int.h"\n',
      'tests/unit/rt/r.c': '#include "rt/r_int.h"\n'}, None),
    ('public header includes a private one', {'include/tarn/b.h': '#pragma once\n#include "base/good.h"\n'},
     'only other headers of include/tarn'),
    ('header that does not compile alone', {'src/base/a.h': '#pragma once\n\nextern uint32_t a_word;\n'},
     'does not compile alone as C:'),
    ('public header that is no C++', {'include/tarn/b.h': '#pragma once\n\nstruct b {\n\tint class;\n};\n'},
     'does not compile alone as C++:'),
    ('strcpy', {'src/base/a.c': c('strcpy(a, b);')}, 'strcpy(); snprintf'),
    ('strtok', {'bench/a.c': c('strtok(a, b);')}, 'strtok()'),
    ('atoi', {'sim/a.c': c('x = atoi(a);')}, 'atoi(); strtoull'),
    ('rand', {'tests/a.c': c('x = rand();')}, 'rand(); base/random.h'),
    ('time', {'src/rt/a.c': c('x = time(NULL);')}, 'time(); base/clock.h'),
    ('clock_gettime', {'src/rt/a.c': c('clock_gettime(1, &t);')}, 'clock_gettime(); base/clock.h'),
    ('usleep', {'src/rt/a.c': c('usleep(3);')}, 'usleep(); rt_sleep'),
    ('malloc above mem', {'src/rt/a.c': c('p = malloc(3);')}, 'malloc(); mem/'),
    ('free as a cast statement', {'src/rt/a.c': c('free((void *)p);')}, 'free(); mem/'),
    ('a member called free', {'src/rt/a.c': c('x = pool->free(x);')}, None),
    ('setjmp', {'src/rt/a.c': c('x = setjmp(j);')}, 'setjmp()'),
    ('alloca', {'src/rt/a.c': c('p = alloca(3);')}, 'alloca()'),
    ('printf in library code', {'src/base/a.c': c('printf("%d", x);')}, 'printf(); fail()'),
    ('signal', {'src/rt/a.c': c('signal(3, h);')}, 'signal(); sigaction'),
    ('system', {'tests/a.c': c('system("true");')}, 'system(); posix_spawn'),
    ('assert', {'src/base/a.c': c('assert(x);')}, 'assert(); ASSERT'),
    ('pthread_mutex_lock', {'src/rt/a.c': c('pthread_mutex_lock(&m);')}, "pthread_mutex_lock(); rt's locks"),
    ('errno', {'src/rt/a.c': c('x = errno;')}, 'errno; a wrapper'),
    ('errno in a comment', {'src/rt/a.c': c('/* errno, malloc() */')}, None),
    ('errno in a string', {'src/rt/a.c': c('g("errno malloc(1)");')}, None),
    ('thread-local', {'src/rt/a.c': '_Thread_local int x;\n'}, '_Thread_local; struct self'),
    ('atomic builtin', {'src/rt/a.c': c('x = __atomic_load_n(&y, 0);')}, '__atomic_load_n; base/atomic.h'),
    ('stdatomic.h', {'src/rt/a.c': '#include <stdatomic.h>\n'}, '<stdatomic.h>; base/atomic.h'),
    ('no contract', {'src/base/a.h': '#pragma once\n\nint a_get(void);\n'}, 'a_get() has no contract'),
    ('no contract on an inline function',
     {'src/base/a.h': '#pragma once\n\n/* One. */\nstatic inline int a_one(void)\n{\n\treturn 1;\n}\n\n'
                      'static inline int a_two(void)\n{\n\treturn 2;\n}\n'}, 'a_two() has no contract'),
    ('one contract for a group', {'src/base/a.h': '#pragma once\n\n/* Both. */\nint a_one(void);\nint a_two(void);\n'},
     None),
    ('a pointer to a function needs none',
     {'src/base/a.h': '#pragma once\n\nstruct a {\n\tint (*call)(int x);\n};\n\nextern int (*a_hook)(int x);\n'}, None),
    ('function too long', {'src/base/a.c': f'int f(int x);\n\nint f(int x)\n{{\n{LONG_BODY}\treturn x;\n}}\n'},
     'f() has 129 lines; at most 120'),
    ('function over the aim', {'src/base/a.c': OVER_AIM, 'tests/unit/base/a.c': 'typedef int a_t;\n'},
     'long_one() has 84 lines; at most 70'),
    ('function that the ratchet knows', {'src/base/a.c': OVER_AIM, 'tests/unit/base/a.c': 'typedef int a_t;\n',
                                         'tools/check-ratchet': 'src/base/a.c long_one 84\n'}, None),
    ('function that grew', {'src/base/a.c': OVER_AIM, 'tools/check-ratchet': 'src/base/a.c long_one 80\n'},
     'long_one() has 84 lines; at most 80'),
    ('function that shrank', {'src/base/a.c': OVER_AIM, 'tools/check-ratchet': 'src/base/a.c long_one 90\n'},
     'says 90, it is 84'),
    ('file too long', {'src/base/a.h': '#pragma once\n' + 'extern int a;\n' * 1201}, 'the file has 1202 lines'),
    ('file over the aim', {'src/base/a.h': '#pragma once\n' + 'extern int a;\n' * 900}, 'the file has 901 lines'),
    ('too many parameters', {'src/base/a.h': '#pragma once\n\n/* A. */\nint a_six(int a, int b, int c, int d, int e, '
                                             'int (*f)(int, int));\n'}, 'a_six() takes 6 parameters'),
    ('format', {'src/base/a.c': 'int  a;\n'}, 'not formatted'),
    ('columns', {'src/base/a.c': '/* ' + 'x' * 100 + ' */\n'}, '106 columns'),
    ('path of a machine', {'docs/a.md': 'See /ro' + 'ot/x.\n'}, "a path of one person's machine"),
    ('link to nowhere', {'docs/a.md': 'See [b](b.md).\n'}, 'b.md does not exist'),
    ('path to nowhere', {'docs/a.md': 'See `src/base/b.h`.\n'}, 'src/base/b.h does not exist'),
    ('links and paths that exist', {'docs/a.md': '[A](../README.md), `src/base/good.h`, `src/FLOOR/x.c`, '
                                                 '[web](https://example.org)\n'}, None),
    ('tab in a document', {'docs/a.md': 'a\tb\n'}, 'a tab; spaces'),
    ('trailing space', {'docs/a.md': 'a \n'}, 'whitespace at the end'),
    ('no newline at the end', {'docs/a.md': 'a'}, 'no newline at the end'),
    ('unfinished', {'src/base/a.c': '/* TO' + 'DO: more */\n'}, 'something is unfinished'),
    ('unit test without a source', {'tests/unit/base/none.c': 'typedef int a_t;\n'}, 'no src/base/none.c that it tests'),
    ('a second unit test of a source', {'tests/unit/base/good_more.c': 'typedef int a_t;\n'}, None),
    ('unit test of the simulator', {'tests/unit/sim/a.c': 'typedef int a_t;\n', 'sim/a.h': '/* A. */\n#pragma once\n'},
     None),
    ('source without a unit test', {'src/base/a.c': 'typedef int a_t;\n' * 41}, 'no unit test tests/unit/base/a.c'),
    ('an excuse', {'src/rt/a.c': c('usleep(3);'), 'tools/check-allow': 'src/rt/*.c: usleep: it is the door\n'}, None),
    ('an excuse without a reason', {'tools/check-allow': 'src/rt/*.c: usleep\n'}, 'an exception without its parts'),
    ('an excuse for nothing', {'tools/check-allow': 'src/rt/*.c: usleep: once\n'}, 'excuses nothing'),
]


def run_case(files, expected):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for path, text in {**CLEAN, **files}.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        (root / '.clang-format').write_text((REPOSITORY / '.clang-format').read_text())
        done = subprocess.run([sys.executable, CHECK, '--root', root], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
    if expected is None:
        return done.returncode == 0 and not done.stdout, done.stdout
    return done.returncode == 1 and expected in done.stdout, done.stdout


def main():
    failed = 0
    print(f'1..{len(CASES)}')
    for number, (name, files, expected) in enumerate(CASES, 1):
        good, output = run_case(files, expected)
        print(f"{'ok' if good else 'not ok'} {number} - {name}")
        if not good:
            failed += 1
            print(f'# expected: {expected}')
            for line in output.splitlines() or ['(nothing)']:
                print(f'# {line}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
