"""What the workshop's tests share: made-up source, a tiny corpus and a tiny run."""

from __future__ import annotations

from pathlib import Path

from export.corpus import SPLITS, Project, SourceFile, write
from export.model import ModelConfig
from export.recipes import Recipe

TINY = ModelConfig(vocabulary=300, width=32, layers=2, heads=2, hidden=48)
RECIPE = Recipe(
    "tiny", TINY, rows=64, batch=4, muon_rate=0.03, adam_rate=4e-3, warmup=2, decay=0.3, average=0.9, ahead=0.3, furthest=8, seed=1
)


def rows(steps: int) -> int:
    """Training rows of so many steps of the tiny recipe."""
    return steps * RECIPE.batch * RECIPE.rows


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
    names = {"train": [f"shape{i}" for i in range(12)], "held_out": ["square", "oblong"]}
    splits = {split: [SourceFile(f"{split}-project", f"{name}.py", source(name)) for name in names[split]] for split in SPLITS}
    projects = [
        Project(f"{split}-project", "1.0", "MIT", split, len(files), sum(len(file.text.encode()) for file in files))
        for split, files in splits.items()
    ]
    folder.mkdir(parents=True)
    write(folder, projects, splits, {"python": "3.11.0", "dropped": {}})
    return folder
