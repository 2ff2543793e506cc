"""A model that takes longer passages than it was trained on, to see what they cost."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

from engine.manifest import MANIFEST, load_manifest


def widen(folder: Path, out: Path, window: int) -> Path:
    """A copy of the model `folder` whose manifest allows passages of `window` rows. Past its own window its fills are poorer."""
    manifest = load_manifest(folder)
    out.mkdir()
    for entry in manifest.files:
        shutil.copyfile(folder / entry.file, out / entry.file)
    wide = dataclasses.replace(manifest, window=window, longest_position=max(window, manifest.longest_position))
    (out / MANIFEST).write_text(wide.as_json(), encoding="utf-8")
    return out
