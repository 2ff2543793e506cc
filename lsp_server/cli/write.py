"""Writing a fill into its file: all or nothing, and nothing that somebody else wrote meanwhile is lost."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from engine.errors import LacunaError
from lsp_server.buffer import BOM, Buffer, read_plain_file


def write_file(path: Path, buffer: Buffer, source: bytes) -> None:
    """Replace the file at `path`, from which `buffer` was read, by one with `source`.

    Its byte order mark and its permission bits stay; a link stays a link. Raises LacunaError where the file has
    changed since it was read, or can't be written.
    """
    target = Path(os.path.realpath(path))
    there = read_plain_file(target)
    if there.removeprefix(BOM) != buffer.source:
        raise LacunaError(f"{path} has changed meanwhile; nothing was written")
    mark = BOM if there.startswith(BOM) else b""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(mark + source)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, stat.S_IMODE(target.stat().st_mode))
            os.replace(name, target)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise LacunaError(f"{path} can't be written: {error.strerror or error}") from error
