#!/usr/bin/env python3
"""plant.py FILE OLD NEW OUT: copies a source file with one mistake planted.

In OLD a ¶ stands for the end of a line and the indentation of the next. OLD must occur in FILE
exactly once: when the code has moved on, the build says so instead of testing nothing.
"""
import re
import sys


def main():
    source, old, new, out = sys.argv[1:]
    with open(source, encoding='utf-8') as f:
        text = f.read()
    pattern = r'\s*\n\s*'.join(re.escape(line) for line in old.split('¶'))
    text, count = re.subn(pattern, lambda found: new, text)
    if count != 1:
        sys.exit(f'plant.py: {source}: "{old}" occurs {count} times, must be once: '
                 'adapt the planted mistake (tests/sim/meson.build) to the code')
    with open(out, 'w', encoding='utf-8') as f:
        f.write(text)


main()
