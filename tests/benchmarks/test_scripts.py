"""Every benchmark runs, tells its figures and leaves them behind."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

SCRIPTS = (
    "passes",
    "decoders",
    "cache",
    "calibration",
    "whole_fill",
    "prompt_cache",
    "growth",
    "versus_llamacpp",
    "independent",
    "context_parts",
    "surprise_map",
    "tied",
    "editor",
    "inline_threshold",
    "xlnet_memory",
)


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_tells_what_it_measures(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    script = importlib.import_module(f"benchmarks.{name}")
    with pytest.raises(SystemExit, match="0"):
        script.main(["--help"])
    text = capsys.readouterr().out
    assert (script.__doc__ or "?").strip().splitlines()[0] in text
    assert "--quick" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_quick_run_writes_table_json_and_plot(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if name == "versus_llamacpp":  # the one script with an extra of its own
        pytest.importorskip("llama_cpp")
        pytest.importorskip("gguf")
    script = importlib.import_module(f"benchmarks.{name}")
    assert script.main(["--quick", "--out", str(tmp_path)]) == 0
    assert "| ---" in capsys.readouterr().out
    record = json.loads((tmp_path / "quick" / f"{name}.json").read_text(encoding="utf-8"))
    assert record["benchmark"] == name
    assert record["rows"]
    assert (tmp_path / "quick" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
