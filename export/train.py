"""Training an AS-ARM: resumable, on a CPU or one GPU, with metrics as JSON lines and a plot."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from engine.errors import LacunaError
from export import corpus
from export.examples import IGNORED, Windows
from export.model import AsArm
from export.plots import plot_training
from export.recipes import Recipe
from export.vocabulary import train_tokenizer

CHECKPOINT = "checkpoint.pt"
METRICS = "metrics.jsonl"
TOKENIZER = "tokenizer.json"
_VALIDATION_SEED = 20251
_TOKENIZER_BYTES = 40_000_000


@dataclass(frozen=True)
class Losses:
    """Held-out figures. `hole_bits_per_byte` counts hole tokens and end marks over the holes' UTF-8 bytes."""

    hole_bits_per_byte: float
    hole_nats_per_token: float
    prompt_nats_per_token: float
    draft_nats_per_token: float


def prepare_tokenizer(run: Path, files: list[corpus.SourceFile], size: int) -> Tokenizer:
    """The run's tokenizer; trained on a sample of `files` the first time."""
    path = run / TOKENIZER
    if not path.exists():
        sample = list(files)
        random.Random(0).shuffle(sample)
        texts: list[str] = []
        left = _TOKENIZER_BYTES
        for file in sample:
            texts.append(file.text)
            left -= len(file.text)
            if left < 0:
                break
        train_tokenizer(texts, size).save(str(path))
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True
    if tokenizer.get_vocab_size() != size:
        raise LacunaError(f"{path} has {tokenizer.get_vocab_size()} entries but the recipe wants {size}; use another run folder")
    return tokenizer


def draft_rows(meta: Tensor, positions: Tensor, ids: Tensor, furthest: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Sources, target positions and labels of draft rows, each `[B, T / 4]`: asked 2 to `furthest` rows ahead in sigma."""
    batch, rows = ids.shape
    count = rows // 4
    sources = torch.randint(0, rows - furthest, (batch, count), generator=generator)
    ahead = sources + torch.randint(2, furthest + 1, (batch, count), generator=generator)
    labels = ids.gather(1, ahead).masked_fill(ahead >= meta[:, 2:3], IGNORED)
    return sources, positions.gather(1, ahead), labels


def _losses(
    model: AsArm, batch: tuple[Tensor, Tensor, Tensor], furthest: int, generator: torch.Generator, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Per-row losses: `[B, T - 1]` of the next token (0 on padding), its mask, and `[B, A]` of draft rows (0 where ignored)."""
    ids, positions, meta = batch
    sources, targets, draft_labels = draft_rows(meta, positions, ids, furthest, generator)
    used = torch.arange(1, ids.shape[1]) < meta[:, 2:3]
    labels = ids[:, 1:].masked_fill(~used, IGNORED).to(device)
    with torch.autocast(device.type, torch.bfloat16):
        states, ahead = model.train_states(ids.to(device), positions.to(device), sources.to(device), targets.to(device))
        logits = model.logits(states)
        draft_logits = model.logits(ahead)
    next_loss = F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED, reduction="none")
    draft_loss = F.cross_entropy(
        draft_logits.flatten(0, 1).float(), draft_labels.to(device).flatten(), ignore_index=IGNORED, reduction="none"
    )
    return next_loss.view(labels.shape), labels != IGNORED, draft_loss.view(draft_labels.shape)


def validate(model: AsArm, windows: Windows, count: int, recipe: Recipe, device: torch.device) -> Losses:
    """Losses on `count` fixed held-out examples."""
    model.eval()
    generator = torch.Generator().manual_seed(_VALIDATION_SEED)
    sums = torch.zeros(6, dtype=torch.float64)
    with torch.no_grad():
        for batch in DataLoader(Subset(windows, range(count)), batch_size=recipe.batch):
            next_loss, used, draft_loss = (t.cpu() for t in _losses(model, batch, recipe.furthest, generator, device))
            holes = used & (torch.arange(1, used.shape[1] + 1) >= batch[2][:, :1])
            prompt = used & ~holes
            sums += torch.stack(
                [(next_loss * holes).sum(), holes.sum(), (next_loss * prompt).sum(), prompt.sum(), draft_loss.sum(), (draft_loss > 0).sum()]
            ).double()
    model.train()
    hole_bytes = sum(int(windows[index][2][1]) for index in range(count))
    hole_nats, hole_tokens, prompt_nats, prompt_tokens, draft_nats, drafts = sums.tolist()
    return Losses(
        hole_nats / math.log(2) / max(1, hole_bytes), hole_nats / hole_tokens, prompt_nats / prompt_tokens, draft_nats / max(1.0, drafts)
    )


def rate_at(step: int, progress: float, recipe: Recipe) -> float:
    """Share of the full learning rate: warm-up by steps, then flat, then linear to 0 by share of the budget."""
    return min(1.0, (step + 1) / recipe.warmup) * min(1.0, max(0.0, (1.0 - progress) / recipe.decay))


def make_optimizers(model: AsArm, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024, as in torch) for the matrices inside; AdamW for embeddings and norms."""
    hidden = [p for name, p in model.named_parameters() if p.ndim == 2 and "embedding" not in name and "offset" not in name]
    inner = {id(p) for p in hidden}
    rest = [p for p in model.parameters() if id(p) not in inner]
    return [
        torch.optim.Muon(hidden, lr=recipe.muon_rate, weight_decay=0.01),
        torch.optim.AdamW(rest, lr=recipe.adam_rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]


class _StopOnSignal:
    """Turns the first SIGINT or SIGTERM into a clean stop after the step."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> _StopOnSignal:
        self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def train(corpus_folder: Path, run: Path, recipe: Recipe, minutes: float, *, validate_every: float = 5.0, compiled: bool = False) -> Losses:
    """Train until `minutes` of training time are used (a resumed run counts what went before); returns held-out losses.

    Writes `checkpoint.pt`, `metrics.jsonl`, `loss.png` and `tokenizer.json` to `run`. Raises LacunaError for a run
    folder of another recipe, a damaged corpus, or a loss that is no number (the last checkpoint stays as it was).
    """
    run.mkdir(parents=True, exist_ok=True)
    files = corpus.load(corpus_folder, "train")
    tokenizer = prepare_tokenizer(run, files, recipe.model.vocabulary)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(recipe.seed)
    model = AsArm(recipe.model).to(device)
    optimizers = make_optimizers(model, recipe)
    step, seconds = 0, 0.0
    if (run / CHECKPOINT).exists():
        state = load_checkpoint(run)
        if state["recipe"] != asdict(recipe):
            raise LacunaError(f"{run / CHECKPOINT} was trained by another recipe; use another run folder or the same recipe")
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        step, seconds = state["step"], state["seconds"]
    windows = Windows(files, tokenizer, recipe.rows, recipe.seed)
    held_out = Windows(corpus.load(corpus_folder, "held_out"), tokenizer, recipe.rows, _VALIDATION_SEED)
    step_losses = torch.compile(_losses) if compiled else _losses
    workers = min(8, (os.cpu_count() or 1) - 1) if device.type == "cuda" else 0
    upcoming = iter(DataLoader(Subset(windows, range(step * recipe.batch, 1 << 32)), batch_size=recipe.batch, num_workers=workers))
    budget = minutes * 60
    next_validation = seconds + validate_every * 60
    last = None
    with _StopOnSignal() as stop, tqdm(total=round(budget), initial=round(seconds), unit="s", desc=recipe.name, mininterval=2) as bar:
        while seconds < budget and not stop.asked:
            began = time.perf_counter()
            rate = rate_at(step, seconds / budget, recipe)
            for optimizer, full in zip(optimizers, (recipe.muon_rate, recipe.adam_rate), strict=True):
                for group in optimizer.param_groups:
                    group["lr"] = rate * full
            generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
            next_loss, used, draft_loss = step_losses(model, next(upcoming), recipe.furthest, generator, device)
            loss = next_loss.sum() / used.sum()
            total = loss + recipe.ahead * draft_loss.sum() / (draft_loss > 0).sum().clamp(min=1)
            if not math.isfinite(total.item()):
                raise LacunaError(
                    f"the loss at step {step} is {total.item()}; the last good checkpoint is kept in {run}: lower the rates and resume"
                )
            total.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            step += 1
            took = time.perf_counter() - began
            seconds += took
            speed = recipe.batch * recipe.rows / took
            bar.n = min(round(seconds), round(budget))
            bar.set_postfix_str(f"step {step}, loss {loss.item():.3f}, {speed:,.0f} tokens/s", refresh=False)
            reached = {"step": step, "seconds": round(seconds, 1), "tokens": step * recipe.batch * recipe.rows}
            _log(run, {**reached, "loss": round(loss.item(), 4), "rate": round(rate, 4), "tokens_per_second": round(speed)})
            if seconds >= next_validation or seconds >= budget or stop.asked:
                next_validation = seconds + validate_every * 60
                last = validate(model, held_out, 8 * recipe.batch, recipe, device)
                _log(run, {**reached, **asdict(last)})
                bits, nats = last.hole_bits_per_byte, last.hole_nats_per_token
                bar.write(f"step {step}: held out {bits:.3f} bits/byte in holes, {nats:.3f} nats/token")
                save_checkpoint(run, model, optimizers, recipe, step, seconds)
                plot_training(run / METRICS, run / "loss.png")
    return last if last is not None else validate(model, held_out, 8 * recipe.batch, recipe, device)


def save_checkpoint(run: Path, model: AsArm, optimizers: list[torch.optim.Optimizer], recipe: Recipe, step: int, seconds: float) -> None:
    """Write beside, then replace, so that a crash leaves the earlier checkpoint whole."""
    state = {
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "recipe": asdict(recipe),
        "step": step,
        "seconds": seconds,
    }
    beside = run / (CHECKPOINT + ".new")
    torch.save(state, beside)
    beside.replace(run / CHECKPOINT)


def load_checkpoint(run: Path) -> dict[str, Any]:
    """Raises LacunaError where there is no whole checkpoint in `run`."""
    path = run / CHECKPOINT
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise LacunaError(f"there is no checkpoint at {path}; train one with lacuna-export train") from None
    except Exception as error:  # torch raises many kinds for a damaged file
        raise LacunaError(f"the checkpoint {path} is damaged ({type(error).__name__}); remove it and train again") from None
    return state


def _log(run: Path, record: dict[str, Any]) -> None:
    with (run / METRICS).open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(record) + "\n")
