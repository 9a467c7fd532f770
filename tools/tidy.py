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


def check(root, build, seen_folder):
    """Yields (file, problems) for each file of the build's compilation database; '' is clean."""
    seen_folder.mkdir(parents=True, exist_ok=True)
    database = {}
    for entry in json.loads((build / 'compile_commands.json').read_text()):
        path = os.path.relpath(Path(entry['directory'], entry['file']).resolve(), root)
        simulated = '-DTARN_SIM=1' in entry['command']
        if path.startswith(CHECKED) and path.endswith('.c') and (path not in database or not simulated):
            database[path] = entry
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        yield from pool.map(lambda item: (item[0], check_file(root, build, seen_folder, *item)),
                            sorted(database.items()))


def check_file(root, build, seen_folder, path, entry):
    mark = seen_folder / fingerprint(root, entry)
    if mark.exists():
        return ''
    done = subprocess.run([CLANG_TIDY, '--quiet', '-p', build, root / path], cwd=root, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, errors='replace', check=False)
    if done.returncode == 0 and not re.search(r'(?:warning|error): ', done.stdout):
        mark.touch()
        return ''
    return short(done.stdout) or f'{CLANG_TIDY} ended with status {done.returncode}'


def short(output):
    """Each warning with the line that it is about; without the path of thought that led there."""
    lines, kept = output.splitlines(), []
    for at, line in enumerate(lines):
        if re.search(r': (?:warning|error): ', line):
            kept += lines[at:at + 3]
    return '\n'.join(kept)


def fingerprint(root, entry):
    """Changes with the rules, the flags, the file and everything that it includes, comments too."""
    command = shlex.split(entry['command'])
    keep = [word for at, word in enumerate(command)
            if word not in ('-c', '-o', '-MD', '-MQ', '-MF') and command[at - 1] not in ('-o', '-MQ', '-MF')]
    text = subprocess.run([*keep, '-E', '-C'], cwd=entry['directory'], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=False).stdout
    rules = (root / '.clang-tidy').read_bytes()
    return hashlib.sha256(rules + ' '.join(keep).encode() + text).hexdigest()
