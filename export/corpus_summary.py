"""What a model's manifest tells people about the corpus it was trained on."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from engine.errors import LacunaError
from export.corpus import SPLITS


def summarise(corpus: Path) -> dict[str, Any]:
    """Files and bytes of each split, licences with their numbers of projects, and every project with its version and licence.

    Raises LacunaError where the corpus has no readable manifest.
    """
    path = corpus / "manifest.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        projects = raw["projects"]
        splits = {
            split: {
                "projects": sum(p["split"] == split for p in projects),
                "files": sum(p["files"] for p in projects if p["split"] == split),
                "bytes": sum(p["bytes"] for p in projects if p["split"] == split),
            }
            for split in SPLITS
        }
        return {
            "python": raw["python"],
            **splits,
            "licences": dict(Counter(p["licence"] for p in projects).most_common()),
            "projects": [f"{p['name']} {p['version']} ({p['licence']}; {p['split']})" for p in projects],
        }
    except OSError as error:
        raise LacunaError(f"there is no corpus at {corpus} ({error.strerror}); build one with lacuna-export corpus") from None
    except (ValueError, KeyError, TypeError) as error:
        raise LacunaError(f"{path} is damaged ({error}); build the corpus again") from None
