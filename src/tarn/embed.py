"""Writes a C file that holds a file's bytes: embed.py FILE NAME > FILE.c"""

import sys
from pathlib import Path

data = Path(sys.argv[1]).read_bytes()
name = sys.argv[2]
rows = [', '.join(str(byte) for byte in data[at:at + 16]) for at in range(0, len(data), 16)]
print(f'#include "tarn/{name}.h"\n\nconst unsigned char {name}[] = {{\n' + ',\n'.join(rows) +
      f'\n}};\nconst size_t {name}_bytes = sizeof({name});')
