"""The version of this distribution."""

from __future__ import annotations

import importlib.metadata


def lacuna_version() -> str:
    """As installed, such as '0.1.0'; 'not installed' where the packages are run from a folder."""
    try:
        return importlib.metadata.version("lacuna-lsp")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
