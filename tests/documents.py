"""The code blocks of the documents, which the tests run."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def blocks(page, language):
    """The code blocks of a page, without the indentation that a list gives them."""
    found = []
    for kind, code in BLOCK.findall((ROOT / page).read_text()):
        if kind == language:
            indent = len(code) - len(code.lstrip(" "))
            found.append("\n".join(line[indent:] for line in code.splitlines()))
    return found
