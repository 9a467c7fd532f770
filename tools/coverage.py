"""Sums up which lines and branches of src/ the tests reached, from gcc's coverage data."""

import json
import os
import subprocess
from collections import defaultdict


def summary(root, build):
    """A table of the files of src/, the least covered first, and the sum."""
    lines, branches = gather(root, build)
    rows = []
    for path, counts in lines.items():
        ways = branches[path]
        rows.append((sum(map(bool, counts.values())), len(counts), sum(map(bool, ways.values())), len(ways), path))
    rows.sort(key=lambda row: (row[0] / row[1], row[4]))
    total = [sum(row[at] for row in rows) for at in range(4)]
    text = [f'{"lines":>14} {"branches":>16}  file']
    text += [format_row(*row) for row in [*rows, (*total, 'all')]]
    return '\n'.join(text) + '\n'


def format_row(hit, lines, taken, branches, path):
    def share(part, whole):
        return f'{100 * part / whole:5.1f} %' if whole else '      -'
    return f'{hit:5}/{lines:<5}{share(hit, lines)} {taken:5}/{branches:<5}{share(taken, branches)}  {path}'


def gather(root, build):
    """{file: {line: hits}} and {file: {(line, branch): times taken}}, over all programs that were run."""
    lines, branches = defaultdict(lambda: defaultdict(int)), defaultdict(lambda: defaultdict(int))
    for data in sorted(build.rglob('*.gcda')):
        if '_sim' in data.parts[-2]:        # the same sources once more, under the simulator
            continue
        done = subprocess.run(['gcov', '--json-format', '--stdout', '--branch-probabilities', data], cwd=build,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=120, check=False)
        for document in done.stdout.splitlines():
            for file in json.loads(document)['files']:
                path = os.path.relpath(os.path.join(build, file['file']), root)
                if path.startswith('src/'):
                    add_file(file, lines[path], branches[path])
    return lines, branches


def add_file(file, lines, branches):
    for line in file['lines']:
        lines[line['line_number']] += line['count']
        for number, branch in enumerate(line['branches']):
            branches[line['line_number'], number] += branch['count']
