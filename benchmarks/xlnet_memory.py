"""What exporting an XLNet model of the size of xlnet-base-cased takes, and filling with it, beside what the export says it needs.

Weights are random. Export and fill run in processes of their own, whose peak of resident memory Linux tells.
"""

from __future__ import annotations

import json
import string
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import Unigram
from tokenizers.pre_tokenizers import Metaspace

from benchmarks import report
from engine.errors import LacunaError
from export.xlnet import needs
from export.xlnet_config import CONFIG, XlnetConfig, load_config

BASE: dict[str, int | str] = {"vocab_size": 32000, "d_model": 768, "n_layer": 12, "n_head": 12, "d_inner": 3072, "ff_activation": "gelu"}
SMALL = BASE | {"d_model": 128, "n_layer": 2, "n_head": 4, "d_inner": 256}
_SPECIAL = ("<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>")
_EXPORT = """
from export.xlnet import export_xlnet
export_xlnet(Path(sys.argv[1]), Path(sys.argv[2]), "random", code_whitespace=True)
"""
_FILL = """
from engine.local import load_infiller
from engine.options import FillOptions
from engine.passage import Passage
infiller = load_infiller(Path(sys.argv[2]))
words = " ".join(f"w{number}" for number in range(infiller.window - 20))
half = len(words) // 2
result = infiller.fill(Passage((words[:half], words[half:]), (4,)), FillOptions(count=3, temperature=1.0, seed=1))
assert result.suggestions and all(fill.tokens for each in result.suggestions for fill in each.fills)
"""
_BEGIN = "import sys\nfrom pathlib import Path\n"
_END = "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))\n"


@dataclass(frozen=True)
class Taken:
    """One action: memory in megabytes as said before it and as seen at its peak, and its seconds, Python's start included."""

    action: str
    said_mb: float
    peak_mb: float
    seconds: float


def write_random_folder(folder: Path, sizes: dict[str, int | str]) -> XlnetConfig:
    """A Hugging Face folder with random weights, and a tokenizer in which words `w0`, `w1`, ... are tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(json.dumps({"model_type": "xlnet", **sizes}), encoding="utf-8")
    config = load_config(folder)
    torch.manual_seed(0)
    weights = {
        name: torch.ones(shape) if name.endswith("layer_norm.weight") else 0.02 * torch.randn(shape)
        for name, shape in config.shapes().items()
    }
    save_file(weights, folder / "model.safetensors")
    pieces = [(name, 0.0) for name in _SPECIAL] + [(letter, -9.0) for letter in string.ascii_letters + string.digits + "▁"]
    pieces += [(f"▁w{number}", -9.0) for number in range(config.vocabulary - len(pieces))]
    tokenizer = Tokenizer(Unigram(pieces, unk_id=0, byte_fallback=False))
    tokenizer.pre_tokenizer = Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.save(str(folder / "tokenizer.json"))
    return config


def measure(folder: Path, sizes: dict[str, int | str]) -> list[Taken]:
    """Export a random model of these sizes inside `folder`, then load it and fill a whole window. Raises LacunaError off Linux."""
    if not Path("/proc/self/status").exists():
        raise LacunaError("peak memory is read from /proc, so this runs on Linux alone")
    said = needs(write_random_folder(folder / "theirs", sizes))
    found = []
    for action, code, needed in (("export", _EXPORT, said.export_memory), ("load and fill", _FILL, said.fill_memory)):
        start = time.perf_counter()
        program = [sys.executable, "-c", _BEGIN + code + _END, str(folder / "theirs"), str(folder / "ours")]
        done = subprocess.run(program, check=True, capture_output=True, text=True, timeout=600)
        found.append(Taken(action, needed / 1e6, int(done.stdout.split()[-1]) * 1024 / 1e6, time.perf_counter() - start))
    return found


def plot(taken: list[Taken]) -> Figure:
    figure = Figure(figsize=(5, 3))
    axes = figure.subplots()
    for shift, name, values in ((-0.2, "said", [each.said_mb for each in taken]), (0.2, "peak", [each.peak_mb for each in taken])):
        axes.bar([index + shift for index in range(len(taken))], values, 0.4, label=name)
    axes.set_xticks(range(len(taken)), [each.action for each in taken])
    axes.set_ylabel("MB of memory")
    axes.legend()
    return figure


def main(argv: list[str] | None = None) -> int:
    arguments = report.parser("xlnet_memory", __doc__).parse_args(argv)
    sizes = SMALL if arguments.quick else BASE
    with tempfile.TemporaryDirectory() as folder:
        taken = measure(Path(folder), sizes)
    report.print_table(
        f"XLNet of random weights: {sizes}",
        ("action", "said, MB", "peak, MB", "seconds"),
        [(each.action, f"{each.said_mb:,.0f}", f"{each.peak_mb:,.0f}", f"{each.seconds:.1f}") for each in taken],
    )
    report.write(report.folder(arguments), "xlnet_memory", dict(sizes), [asdict(each) for each in taken], plot(taken))
    return 0


if __name__ == "__main__":
    sys.exit(report.run(main))
