"""The draft head: guesses the tokens that follow a slot, one after another, from the slot's own state. Trained on a finished model.

A pass of the model answers for one slot after another. What its slot row was read from (`states`) says a good deal about the
tokens behind it, too. The draft head is a recurrence over slots: from the state of a slot and the token it got, the state of
the next slot. It sees the token that was drawn, which a slot row further ahead in the same pass can't, and costs a small share of
a pass (the idea of sequentially dependent draft heads: Ankner et al., "Hydra", arXiv 2402.05109).

Its guesses are proposals: whatever they are, verified fills keep the model's distribution. So it is trained to agree with the model,
not with the text: cross-entropy to the model's own distributions, several slots ahead, the model left as it is.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor
from tqdm import tqdm

from engine.errors import LacunaError
from export import corpus
from export.draft_head_model import DraftHead
from export.examples import IGNORED, Batch, Windows
from export.model import AsArm, ModelConfig
from export.muon import Muon
from export.parallel import Team
from export.train import TOKENIZER, Goal, MicroBatches, StopOnSignal, load_checkpoint, load_lines
from export.validation import draw_passages, encode_passages
from export.visibility import dense_mask

DRAFT_HEAD = "draft_head.pt"
AHEAD = 5  # slots that the recurrence is unrolled over
_STRETCH = 128  # rows of a line that guess
_MUON_RATE, _ADAM_RATE = 0.02, 1.5e-3
_WARMUP, _DECAY = 20, 0.5
_SEED = 11
_VALIDATION_LINES = 64


@dataclass(frozen=True)
class Agreement:
    """How far the guesses agree with the model, by slots ahead (1 to `AHEAD`), on held-out passages.

    `overlap`: the mean probability that a draft is accepted, sum of min(p, q), earlier tokens given; `top`: how often both
    find the same token likeliest.
    """

    overlap: tuple[float, ...]
    top: tuple[float, ...]


def train_draft_head(corpus_folder: Path, run: Path, tokens: float | None = None, *, minutes: float | None = None) -> Agreement:
    """Train on `tokens` rows of the corpus, or for `minutes` from the call, and write `draft_head.pt` into the run.

    Returns its agreement on held-out passages. A head that the run has already is trained further, on other rows. SIGINT and SIGTERM
    stop it cleanly. Raises LacunaError for a run without a whole checkpoint, for a damaged head, and what `export.corpus.load` raises.
    """
    began = time.monotonic()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    state = load_checkpoint(run)
    recipe = state["recipe"]
    model = AsArm(ModelConfig(**recipe["model"]))
    model.load_state_dict(state["model"])
    model.to(device).requires_grad_(False).eval()
    tokenizer = Tokenizer.from_file(str(run / TOKENIZER))
    tokenizer.encode_special_tokens = True
    rows, lines = int(recipe["rows"]), int(recipe["batch"])
    torch.manual_seed(_SEED)
    head = DraftHead(model.config)
    before = _load(run, head)
    head.to(device)
    matrices = [p for p in head.parameters() if p.ndim == 2]
    optimizers: list[tuple[torch.optim.Optimizer, float]] = [
        (Muon(matrices, lr=_MUON_RATE), _MUON_RATE),
        (torch.optim.AdamW([p for p in head.parameters() if p.ndim == 1], lr=_ADAM_RATE, weight_decay=0.0), _ADAM_RATE),
    ]
    goal = Goal(None if tokens is None else max(1, round(tokens / (lines * rows))), None if minutes is None else 60 * minutes)
    windows = Windows(corpus.load(corpus_folder, "train"), tokenizer, rows, _SEED)
    gpu = device.type == "cuda"
    numbers = MicroBatches(before // (rows * lines), lines, lines, Team(0, 1, device))
    batches = load_lines(windows, int(recipe["furthest"]), numbers, max(1, (os.cpu_count() or 1) - 1) if gpu else 0, device)
    generator = torch.Generator().manual_seed(_SEED + before)
    step = 0
    bar = tqdm(total=goal.steps, desc="draft head", unit="step", mininterval=2)
    with StopOnSignal() as stop, bar:
        while (reached := goal.reached(step, time.monotonic() - began)) < 1:
            if stop.asked:
                bar.write(f"stopped at step {step} of {goal}; the same command trains further")
                break
            loss = _loss(model, head, next(batches)[0], generator)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
            rate = min(1.0, (step + 1) / _WARMUP) * min(1.0, (1.0 - reached) / _DECAY)
            for optimizer, full in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = rate * full
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            step += 1
            bar.update()
            bar.set_postfix_str(f"loss {loss.item():.3f}", refresh=False)
    passages = draw_passages(corpus.load(corpus_folder, "held_out"), rows, _VALIDATION_LINES, _SEED)
    agreement = measure_agreement(model, head, encode_passages(passages, tokenizer, rows))
    weights = {"head": head.state_dict(), "tokens": before + step * lines * rows}
    try:
        torch.save(weights, run / DRAFT_HEAD)
    except (OSError, RuntimeError) as error:
        raise LacunaError(f"the draft head can't be written to {run} ({error}); make room and try again") from None
    return agreement


def load_draft_head(run: Path, config: ModelConfig) -> DraftHead | None:
    """The run's draft head, rounded to float16 precision, or None where none was trained. Raises LacunaError for a damaged one."""
    head = DraftHead(config)
    if not _load(run, head):
        return None
    head.load_state_dict({name: weight.half().float() for name, weight in head.state_dict().items()})
    return head.eval()


def _load(run: Path, head: DraftHead) -> int:
    """Give `head` the run's weights; returns the rows they were trained on, 0 where there are none."""
    path = run / DRAFT_HEAD
    if not path.exists():
        return 0
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        head.load_state_dict(saved["head"])
        return int(saved["tokens"])
    except Exception as error:  # torch raises many kinds for a damaged file
        raise LacunaError(
            f"the draft head {path} is damaged or of another model ({type(error).__name__}); remove it and train it again"
        ) from None


def _stack(lines: list[Batch]) -> Batch:
    return Batch(*(torch.stack(parts) for parts in zip(*lines, strict=True)))


@dataclass(frozen=True)
class _Guesses:
    """By slots ahead: logits of the head `[N, V]` and of the model `[N, V]`, of the rows where both speak of the same slot."""

    head: list[Tensor]
    model: list[Tensor]


def _guess(model: AsArm, head: DraftHead, batch: Batch, start: int, length: int) -> _Guesses:
    """Guesses from the rows `start` to `start + length` of each line, each unrolled over the tokens that really follow."""
    asked = slice(start, start + length + AHEAD)
    device = batch.ids.device
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
        none = torch.zeros(len(batch.ids), 0, dtype=torch.int64, device=device)
        visible = dense_mask(batch.first, batch.reach, batch.ids.shape[1])
        states, _ = model.train_states(batch.ids, batch.positions, batch.targets, visible, none, none, visible[:, :, :0])
        truth = model.logits(states[:, asked])
    found_head, found_model = [], []
    with torch.autocast(device.type, torch.bfloat16):
        state = states[:, start : start + length]
        same = batch.labels[:, start : start + length] != IGNORED
        for ahead in range(1, AHEAD + 1):
            places = slice(start + ahead, start + ahead + length)
            state = head(state, model.embed(batch.ids[:, places]))
            # One slot further each: the row's own token stands where the last one was asked for, and it asks for the next place.
            same = same & (batch.labels[:, places] != IGNORED) & (batch.first[:, places] == batch.first[:, start : start + length])
            same = same & (batch.targets[:, places] == batch.targets[:, start : start + length] + ahead)
            found_head.append(model.logits(state[same]))
            found_model.append(truth[:, ahead : ahead + length][same])
    return _Guesses(found_head, found_model)


def _loss(model: AsArm, head: DraftHead, batch: Batch, generator: torch.Generator) -> Tensor:
    """Cross-entropy (nats) of the guesses to the model's own distributions: the mean over slots ahead of means over rows."""
    rows = batch.ids.shape[1]
    length = min(_STRETCH, rows - AHEAD)
    start = int(torch.randint(0, rows - AHEAD - length + 1, (), generator=generator))
    guesses = _guess(model, head, batch, start, length)
    sums = [
        F.cross_entropy(ours.float(), theirs.float().softmax(-1), reduction="sum") / max(1, len(ours))
        for ours, theirs in zip(guesses.head, guesses.model, strict=True)
    ]
    return torch.stack(sums).mean()


@torch.no_grad()
def measure_agreement(model: AsArm, head: DraftHead, lines: list[Batch], at_once: int = 8) -> Agreement:
    """Over all rows of `lines` but their last few."""
    device = next(model.parameters()).device
    overlaps, tops, counts = (torch.zeros(AHEAD, device=device) for _ in range(3))
    for first in range(0, len(lines), at_once):
        batch = Batch(*(part.to(device) for part in _stack(lines[first : first + at_once])))
        guesses = _guess(model, head, batch, 0, batch.ids.shape[1] - AHEAD)
        for ahead, (ours, theirs) in enumerate(zip(guesses.head, guesses.model, strict=True)):
            overlaps[ahead] += torch.minimum(ours.float().softmax(-1), theirs.float().softmax(-1)).sum()
            tops[ahead] += (ours.argmax(-1) == theirs.argmax(-1)).sum()
            counts[ahead] += len(ours)
    return Agreement(tuple((overlaps / counts.clamp(min=1)).tolist()), tuple((tops / counts.clamp(min=1)).tolist()))
