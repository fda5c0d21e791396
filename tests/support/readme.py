"""The files that the README shows."""

from __future__ import annotations

import re
import textwrap

from jobs.settings import PROJECT_DIR

EXAMPLE = re.compile(r"<!-- example: (\S+) -->\n\n((?:(?: {7}.*)?\n)+)")


def examples(under: str) -> dict[str, str]:
    """Path -> text of the files whose paths begin with ``under``."""
    text = (PROJECT_DIR / "README.md").read_text()
    return {path: textwrap.dedent(body) for path, body in EXAMPLE.findall(text) if path.startswith(under)}
