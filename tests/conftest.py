"""What all tests share: the real default model, loaded once."""

from __future__ import annotations

import pytest

from engine.infiller import Infiller


@pytest.fixture(scope="session")
def infiller() -> Infiller:
    """The default model of the package, one for the whole session. Imported here so that tests without a model load no runtime."""
    from engine.local import load_infiller

    return load_infiller()
