"""Runs clang-tidy over what is compiled, and skips what has not changed since it was last clean."""

import hashlib
import json
import os
import re
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CLANG_TIDY = 'clang-tidy-14'    # other versions have other opinions
CHECKED = ('src/', 'sim/', 'bench/')
ALLOW = 'tools/tidy-allow'
FINDING = re.compile(r': (?:warning|error): .*\[([\w.,-]+)\]')


def check(root, build, seen_folder):
    """Yields (file, problems) for each file of the build's compilation database; '' is clean."""
    seen_folder.mkdir(parents=True, exist_ok=True)
    allowed, database = read_allowed(root), {}
    for entry in json.loads((build / 'compile_commands.json').read_text()):
        path = os.path.relpath(Path(entry['directory'], entry['file']).resolve(), root)
        simulated = '-DTARN_SIM=1' in entry['command']
        if path.startswith(CHECKED) and path.endswith('.c') and (path not in database or not simulated):
            database[path] = entry
    for path in sorted(set(allowed) - set(database)):
        yield path, f'{ALLOW}: {path}: is not compiled; remove its lines'

    def job(item):
        path, entry = item
        return path, check_file(root, build, seen_folder, (path, entry, allowed.get(path, set())))

    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        yield from pool.map(job, sorted(database.items()))


def read_allowed(root):
    """{path: names of checks} from the lines `path: check: reason`."""
    allowed = {}
    for line in (root / ALLOW).read_text().splitlines():
        if line.strip() and not line.startswith('#'):
            path, name, _ = (part.strip() for part in line.split(':', 2))
            allowed.setdefault(path, set()).add(name)
    return allowed


def check_file(root, build, seen_folder, item):
    path, entry, allowed = item
    mark = seen_folder / fingerprint(root, entry, allowed)
    if mark.exists():
        return ''
    done = subprocess.run([CLANG_TIDY, '--quiet', '-p', build, root / path], cwd=root, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, errors='replace', check=False)
    problems, used = findings(done.stdout, allowed)
    problems += [f'{ALLOW}: {path}: {name}: excuses nothing; remove the line' for name in sorted(allowed - used)]
    if done.returncode != 0 and not used and not problems:
        problems.append(f'{CLANG_TIDY} ended with status {done.returncode}')
    if not problems:
        mark.touch()
    return '\n'.join(problems)


def findings(output, allowed):
    """Each warning with the line that it is about, without the path of thought that led there; and what was allowed."""
    lines, kept, used = output.splitlines(), [], set()
    for at, line in enumerate(lines):
        found = FINDING.search(line)
        if found and found.group(1) in allowed:
            used.add(found.group(1))
        elif found:
            kept += lines[at:at + 3]
    return kept, used


def fingerprint(root, entry, allowed):
    """Changes with the rules, the flags, the file and everything that it includes, comments too."""
    command = shlex.split(entry['command'])
    keep = [word for at, word in enumerate(command)
            if word not in ('-c', '-o', '-MD', '-MQ', '-MF') and command[at - 1] not in ('-o', '-MQ', '-MF')]
    text = subprocess.run([*keep, '-E', '-C'], cwd=entry['directory'], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=False).stdout
    rules = (root / '.clang-tidy').read_bytes() + ' '.join(sorted(allowed)).encode()
    return hashlib.sha256(rules + ' '.join(keep).encode() + text).hexdigest()
