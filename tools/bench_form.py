"""Runs every benchmark once, briefly, and checks the form of what it prints (not the speed)."""

import json
import subprocess

FIELDS = {'bench': str, 'case': str, 'metric': str, 'unit': str, 'value': float, 'limit': float, 'of_limit': float,
          'peer': str, 'peer_value': float, 'vs_peer': float}
NEVER_NULL = {'bench', 'case', 'metric', 'unit'}
HEADLINES = {'ns', 'ops_per_s', 'bytes_per_s', 'percent', 'ratio', 'bytes'}
SECONDS = '0.02'


def run(command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300,
                          check=False)


def check(program):
    """Yields (benchmark's case, what is wrong with its lines or '')."""
    names = list_names(program)
    if not names:
        yield 'list', 'tarn bench lists no benchmarks'
    for name in names:
        done = run([program, 'bench', name, '--json', '--seconds', SECONDS])
        if done.returncode != 0:
            yield name, f'exit status {done.returncode}\n{done.stderr}{done.stdout}'
            continue
        seen = set()
        for line in done.stdout.splitlines():
            problem, case = check_line(name, line, seen)
            yield f'{name} {case}', problem
        if not seen:
            yield name, 'printed nothing'


def list_names(program):
    """The first word of each line of `tarn bench` that is not indented."""
    done = run([program, 'bench'])
    return [line.split()[0].rstrip(':') for line in done.stdout.splitlines() if line and not line[0].isspace()]


def check_line(name, line, seen):
    try:
        row = json.loads(line)
    except ValueError:
        return f'not JSON: {line}', '?'
    case = row.get('case', '?')
    if set(row) != set(FIELDS):
        return f'fields {sorted(row)}, expected {sorted(FIELDS)}', case
    for key, kind in FIELDS.items():
        value = row[key]
        if value is None and key not in NEVER_NULL:
            continue
        if kind is float and (isinstance(value, bool) or not isinstance(value, (int, float))):
            return f'{key} is {value!r}, not a number: {line}', case
        if kind is str and not isinstance(value, str):
            return f'{key} is {value!r}, not a text: {line}', case
    if row['bench'] != name:
        return f'bench is {row["bench"]}, expected {name}', case
    if case not in seen and row['metric'] not in HEADLINES:
        return f'the first line of {case} is {row["metric"]}, not a headline: {sorted(HEADLINES)}', case
    seen.add(case)
    if (row['vs_peer'] is None) != (row['peer_value'] is None or row['value'] is None):
        return f'vs_peer does not go with peer_value: {line}', case
    return '', case
