"""Makes docs/demo.svg, the README's picture: runs `lacuna fill` on the demo file in a terminal of its own and draws what it printed."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
ARGUMENTS = ["fill", "demo/orders.py", *sys.argv[1:]]


def run_in_terminal(command: list[str]) -> str:
    """What the command writes to a terminal, colours included. Raises CalledProcessError when it fails."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, cwd=ROOT, stdout=theirs, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL) as process:
        os.close(theirs)
        written = b""
        while True:
            try:
                block = os.read(ours, 65536)
            except OSError:  # Linux's way of saying that the other end is closed
                break
            if not block:
                break
            written += block
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return written.decode().replace("\r\n", "\n")


def main() -> None:
    program = str(Path(sys.executable).with_name("lacuna"))
    printed = run_in_terminal([program, *ARGUMENTS])
    console = Console(record=True, width=110, file=StringIO(), force_terminal=True)
    console.print(Text.from_ansi(f"$ lacuna {' '.join(ARGUMENTS)}\n{printed}"))
    (ROOT / "docs" / "demo.svg").write_text(console.export_svg(title="make demo", unique_id="lacuna"), encoding="utf-8")


if __name__ == "__main__":
    main()
