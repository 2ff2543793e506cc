"""Where the default model lies. Apart from the runtime, which takes long to import."""

from __future__ import annotations

from pathlib import Path

DEFAULT_MODEL = Path(__file__).parent / "models" / "default"
