"""What a model's manifest tells people about the corpus it was trained on."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from engine.errors import LacunaError
from export.corpus.files import SPLITS
from export.corpus.overlap import OVERLAP
from export.corpus.storage import MANIFEST, read_manifest


def summarise(corpus: Path) -> dict[str, Any]:
    """Files and bytes of each split, files left out by reason, licences with their numbers of projects, and every project.

    `evaluation_overlap` has the figures of the check against evaluation data, and is {} where there was none. Raises LacunaError
    where the corpus has no readable manifest.
    """
    manifest = read_manifest(corpus)
    overlap = corpus / OVERLAP
    try:
        checked = json.loads(overlap.read_text(encoding="utf-8")) if overlap.is_file() else {}
        projects = manifest["projects"]
        splits = {
            split: {
                "projects": sum(p["split"] == split for p in projects),
                "files": sum(p["files"] for p in projects if p["split"] == split),
                "bytes": sum(p["bytes"] for p in projects if p["split"] == split),
            }
            for split in SPLITS
        }
        return {
            "python": manifest["python"],
            **splits,
            "dropped": dict(manifest["dropped"]),
            "evaluation_overlap": {figure: value for figure, value in checked.items() if not isinstance(value, list)},
            "licences": dict(Counter(p["licence"] for p in projects).most_common()),
            "projects": [f"{p['name']} {p['version']} ({p['licence']}; {p['split']})" for p in projects],
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LacunaError(f"{MANIFEST} or {OVERLAP} in {corpus} is damaged ({error}); build the corpus again") from None
