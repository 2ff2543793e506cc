"""Permissively licensed Python source, collected, cleaned, split by project and stored for training.

The way of a file: `sources` finds it, `filters` and `near_copies` judge it, `overlap` keeps evaluation data out, `building` puts
the corpus together, and `storage` writes it in shards and reads it back.
"""

from export.corpus.building import build
from export.corpus.files import SPLITS, Project, SourceFile, split_of
from export.corpus.sources import licence_of
from export.corpus.storage import Split, load, verify, write

__all__ = ["SPLITS", "Project", "SourceFile", "Split", "build", "licence_of", "load", "split_of", "verify", "write"]
