"""What the workshop's tests share: made-up source, a tiny corpus and a tiny run."""

from __future__ import annotations

import json
from pathlib import Path

from export.model import ModelConfig
from export.recipes import Recipe

TINY = ModelConfig(vocabulary=300, width=32, layers=2, heads=2, hidden=48)
RECIPE = Recipe("tiny", TINY, rows=64, batch=4, muon_rate=0.03, adam_rate=4e-3, warmup=2, decay=0.3, ahead=0.3, furthest=8, seed=1)


class StepClock:
    """Stands in for the module `time` in training: each step takes one second, however busy the machine is."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 1.0
        return self.now


SOURCE = '''
def area_of_{name}(width, height):
    """The area of a {name}."""
    if width < 0 or height < 0:
        raise ValueError("a {name} has no negative sides")
    result = width * height
    return result


class {name}:
    def __init__(self, width, height):
        self.width = width
        self.height = height

    def area(self):
        return area_of_{name}(self.width, self.height)
'''


def source(name: str) -> str:
    return SOURCE.format(name=name)


def write_corpus(folder: Path) -> Path:
    """A corpus of made-up files."""
    folder.mkdir(parents=True)
    splits = {"train": [f"shape{i}" for i in range(12)], "held_out": ["square", "oblong"]}
    projects = []
    for split, names in splits.items():
        records = [{"project": f"{split}-project", "path": f"{name}.py", "text": source(name)} for name in names]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        size = sum(len(record["text"]) for record in records)
        project = {"name": f"{split}-project", "version": "1.0", "licence": "MIT", "split": split, "files": len(names), "bytes": size}
        projects.append(project)
    (folder / "manifest.json").write_text(json.dumps({"python": "3.11.0", "projects": projects}), encoding="utf-8")
    return folder
