"""The configurations that docs/editors.md shows."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "editors.md"


def configuration(editor: str, language: str) -> str:
    """The one block of code in `language` in the page's section on `editor`."""
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {editor}\n")[2]
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", section.partition("\n## ")[0], re.MULTILINE | re.DOTALL)
    return str(block)
