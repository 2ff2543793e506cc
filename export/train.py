"""Training an AS-ARM: on a CPU, one GPU or many (under torchrun); resumable, with metrics as JSON lines and a plot."""

from __future__ import annotations

import json
import math
import os
import pickle
import random
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Sampler
from tqdm import tqdm

from engine.errors import LacunaError
from export import corpus
from export.examples import IGNORED, Batch, Windows
from export.model import AsArm
from export.parallel import Team, join_team
from export.plots import plot_training
from export.recipes import Recipe
from export.utilisation import flops_per_row, peak_flops
from export.validation import Losses, draft_rows, draw_passages, encode_passages, measure, row_losses, summarise
from export.vocabulary import train_tokenizer

CHECKPOINT = "checkpoint.pt"
METRICS = "metrics.jsonl"
TOKENIZER = "tokenizer.json"
_VALIDATION_SEED = 20251
_VALIDATION_LINES = 192
_TOKENIZER_BYTES = 40_000_000


def prepare_tokenizer(run: Path, files: Sequence[corpus.SourceFile], size: int) -> Tokenizer:
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


def rate_at(step: int, steps: int, recipe: Recipe) -> float:
    """Share of the full learning rate at `step` of `steps`: warm-up, then flat, then linear to 0."""
    return min(1.0, (step + 1) / recipe.warmup) * min(1.0, (steps - step) / max(1.0, recipe.decay * steps))


def make_optimizers(model: AsArm, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024, as in torch) for the matrices inside; AdamW for embeddings and norms."""
    hidden = [p for name, p in model.named_parameters() if p.ndim == 2 and "embedding" not in name and "offset" not in name]
    inner = {id(p) for p in hidden}
    rest = [p for p in model.parameters() if id(p) not in inner]
    return [
        torch.optim.Muon(hidden, lr=recipe.muon_rate, weight_decay=0.01),
        torch.optim.AdamW(rest, lr=recipe.adam_rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]


class StopOnSignal:
    """Turns the first SIGINT or SIGTERM into a clean stop after the step."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> StopOnSignal:
        self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


@dataclass
class State:
    """What a checkpoint holds: the weights that are trained and their average, which is what is validated and exported."""

    model: AsArm
    averaged: AveragedModel
    optimizers: list[torch.optim.Optimizer]
    recipe: Recipe
    step: int = 0
    seconds: float = 0.0

    @property
    def average(self) -> AsArm:
        module = self.averaged.module
        assert isinstance(module, AsArm)
        return module

    @classmethod
    def fresh(cls, recipe: Recipe, device: torch.device, weights: dict[str, Tensor] | None = None) -> State:
        """Random weights by the recipe's seed, or given ones."""
        torch.manual_seed(recipe.seed)
        model = AsArm(recipe.model).to(device)
        if weights is not None:
            model.load_state_dict(weights)
        averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.average))
        return cls(model, averaged, make_optimizers(model, recipe), recipe)

    def restore(self, run: Path) -> None:
        """Go on from the run's checkpoint. Raises LacunaError where another recipe made it."""
        saved = load_checkpoint(run)
        if saved["recipe"] != asdict(self.recipe):
            raise LacunaError(f"{run / CHECKPOINT} was trained by another recipe; use another run folder or the same recipe")
        self.model.load_state_dict(saved["weights"])
        self.average.load_state_dict(saved["model"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.step, self.seconds = saved["step"], saved["seconds"]
        self.averaged.n_averaged.fill_(self.step)

    def save(self, run: Path) -> None:
        """Write beside, then replace, so that a crash or a full disk leaves the earlier checkpoint whole."""
        contents = {
            "model": self.average.state_dict(),
            "weights": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "recipe": asdict(self.recipe),
            "step": self.step,
            "seconds": self.seconds,
        }
        beside = run / (CHECKPOINT + ".new")
        try:
            torch.save(contents, beside)
        except (OSError, RuntimeError) as error:  # torch's own writer raises RuntimeError where the disk is full
            beside.unlink(missing_ok=True)
            raise LacunaError(f"the checkpoint can't be written to {run} ({error}); make room and resume") from None
        beside.replace(run / CHECKPOINT)

    def update(self, rate: float) -> None:
        """One optimiser step with gradients as they are, at a share `rate` of the recipe's learning rates."""
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer, full in zip(self.optimizers, (self.recipe.muon_rate, self.recipe.adam_rate), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * full
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.averaged.update_parameters(self.model)
        self.step += 1


class _MicroBatches(Sampler[list[int]]):
    """Numbers of the lines that one process works on: those of its rank, `micro` at a time, from `step` on for ever."""

    def __init__(self, step: int, batch: int, micro: int, team: Team) -> None:
        self.step, self.batch, self.micro, self.team = step, batch, micro, team

    def __iter__(self) -> Iterator[list[int]]:
        share = self.batch // self.team.size
        for first in range(self.step * self.batch + self.team.rank * share, 1 << 62, self.batch):
            for start in range(first, first + share, self.micro):
                yield list(range(start, min(start + self.micro, first + share)))


class _Steps:
    """Gradients of one step after another: draws this process's lines, `micro` at a time, and sums over the team."""

    def __init__(self, state: State, windows: Windows, team: Team, micro: int | None, compiled: bool) -> None:
        self.state, self.team = state, team
        self.share = state.recipe.batch // team.size
        self.micro = min(micro or self.share, self.share)
        self.losses = torch.compile(row_losses) if compiled else row_losses
        sampler = _MicroBatches(state.step, state.recipe.batch, self.micro, team)
        workers = min(8, (os.cpu_count() or 1) - 1) if team.device.type == "cuda" else 0
        self.batches = iter(DataLoader(windows, batch_sampler=sampler, num_workers=workers))

    def backward(self) -> tuple[float, float]:
        """Leaves the summed gradients on the model; returns the mean loss of next tokens and that of draft rows, over all processes."""
        team, recipe = self.team, self.state.recipe
        drawn = [self._draw(number) for number in range(math.ceil(self.share / self.micro))]
        # Counted first: the mean is over all rows of the step, wherever and in whatever portions they are worked on.
        counts = [
            sum(int((labels != IGNORED).sum()) for labels in kind) for kind in zip(*((b.labels, d[2]) for b, d in drawn), strict=True)
        ]
        asked = team.sum(torch.tensor(counts, device=team.device)).clamp(min=1)
        total = torch.zeros(2, device=team.device)
        for batch, drafts in drawn:
            nexts, ahead = self.losses(self.state.model, batch, drafts)
            means = torch.stack([nexts.sum(), ahead.sum()]) / asked
            (means[0] + recipe.ahead * means[1]).backward()
            total += means.detach()
        team.sum_gradients(self.state.model.parameters())
        loss, draft_loss = team.sum(total).tolist()
        return loss, draft_loss

    def _draw(self, number: int) -> tuple[Batch, tuple[Tensor, Tensor, Tensor]]:
        batch = Batch(*next(self.batches))
        seed = ((self.state.recipe.seed * 1_000_003 + self.state.step) * self.team.size + self.team.rank) * self.share + number
        sources, targets, labels = draft_rows(batch, self.state.recipe.furthest, torch.Generator().manual_seed(seed))
        device = self.team.device
        return Batch(*(part.to(device) for part in batch)), (sources.to(device), targets.to(device), labels.to(device))


def train(
    corpus_folder: Path,
    run: Path,
    recipe: Recipe,
    tokens: float,
    *,
    validate_every: float = 5.0,
    compiled: bool = False,
    micro: int | None = None,
    start_from: Path | None = None,
) -> Losses:
    """Train on `tokens` rows in all (a resumed run counts what went before); returns held-out losses.

    Writes `checkpoint.pt`, `metrics.jsonl`, `loss.png` and `tokenizer.json` to `run`, every `validate_every` minutes and
    at the end. `micro` lines at a time go through the model (gradients accumulate; default: all of this process's). A new
    run starts from the weights and the tokenizer of the run `start_from`, where one is given. Raises LacunaError for a run
    of another recipe, a damaged corpus, a full disk, or a loss that is no number (the last checkpoint stays as it was).
    """
    with join_team() as team:
        if recipe.batch % team.size:
            raise LacunaError(f"{team.size} processes can't share the recipe's batch of {recipe.batch} lines evenly; start another number")
        try:
            run.mkdir(parents=True, exist_ok=True)
            split = corpus.load(corpus_folder, "train")
            state = _open(run, recipe, team, start_from)
            tokenizer = _shared_tokenizer(run, split, recipe, team)
            windows = Windows(split, tokenizer, recipe.rows, recipe.seed, recipe.holes, recipe.prompting)
            passages = draw_passages(corpus.load(corpus_folder, "held_out"), recipe.rows, _VALIDATION_LINES, _VALIDATION_SEED)
            lines = encode_passages(passages, tokenizer, recipe.rows, bidirectional=recipe.prompting.bidirectional > 0)

            def validate() -> Losses:
                return summarise(measure(state.average, lines, recipe.furthest), passages)

            steps = max(1, round(tokens / (recipe.batch * recipe.rows)))
            return _loop(run, state, _Steps(state, windows, team, micro, compiled), steps, validate, validate_every)
        except OSError as error:
            raise LacunaError(f"the run {run} can't be written ({error.strerror}); the last whole checkpoint is kept") from None


def _open(run: Path, recipe: Recipe, team: Team, start_from: Path | None) -> State:
    """The run's state: restored, or new with random or `start_from`'s weights (and its tokenizer)."""
    if (run / CHECKPOINT).exists():
        state = State.fresh(recipe, team.device)
        state.restore(run)
        return state
    if start_from is None:
        return State.fresh(recipe, team.device)
    before = load_checkpoint(start_from)
    if before["recipe"]["model"] != asdict(recipe.model):
        raise LacunaError(f"{start_from} has a model of another shape than the recipe {recipe.name}; use a recipe of the same shape")
    if team.leads:
        shutil.copyfile(start_from / TOKENIZER, run / TOKENIZER)
    return State.fresh(recipe, team.device, before["model"])


def _shared_tokenizer(run: Path, split: corpus.Split, recipe: Recipe, team: Team) -> Tokenizer:
    """Made by the leading process where there is none yet; the others wait for it."""
    if team.leads:
        prepare_tokenizer(run, split, recipe.model.vocabulary)
    team.wait()
    return prepare_tokenizer(run, split, recipe.model.vocabulary)


def _loop(run: Path, state: State, work: _Steps, steps: int, validate: Callable[[], Losses], validate_every: float) -> Losses:
    recipe, team = state.recipe, work.team
    flops, peak = flops_per_row(state.model, recipe.rows), peak_flops(team.device) * team.size
    next_validation = state.seconds + validate_every * 60
    last = None
    bar = tqdm(total=steps, initial=state.step, unit="step", desc=recipe.name, mininterval=2, disable=not team.leads)
    with StopOnSignal() as stop, bar:
        while state.step < steps and not team.any(stop.asked):
            began = time.perf_counter()
            loss, draft_loss = work.backward()
            if not math.isfinite(loss + draft_loss):
                raise LacunaError(
                    f"the loss at step {state.step} is {loss} (draft rows: {draft_loss}); the last good checkpoint is kept in {run}: "
                    "lower the rates and resume"
                )
            rate = rate_at(state.step, steps, recipe)
            state.update(rate)
            took = time.perf_counter() - began
            state.seconds += took
            if not team.leads:
                continue
            speed = recipe.batch * recipe.rows / took
            used = speed * flops / peak
            bar.update()
            bar.set_postfix_str(f"loss {loss:.3f}, {speed:,.0f} tokens/s, {used:.0%} of peak", refresh=False)
            done = state.step * recipe.batch * recipe.rows
            reached = {"step": state.step, "seconds": round(state.seconds, 1), "tokens": done, "flops": done * flops}
            record = {"loss": loss, "draft_loss": draft_loss, "rate": rate, "utilisation": used}
            _log(run, {**reached, **{name: round(value, 4) for name, value in record.items()}, "tokens_per_second": round(speed)})
            if state.seconds >= next_validation or state.step == steps:
                next_validation = state.seconds + validate_every * 60
                last = validate()
                _log(run, {**reached, **asdict(last)})
                bar.write(f"step {state.step}: held out {last}")
                state.save(run)
                plot_training(run / METRICS, run / "loss.png")
        if team.leads and state.step < steps:
            state.save(run)
            bar.write(f"stopped at step {state.step} of {steps}; the same command goes on from there")
    return last if last is not None else validate()


def load_checkpoint(run: Path) -> dict[str, Any]:
    """Raises LacunaError where there is no whole checkpoint in `run`, or one that holds more than tensors and plain values."""
    path = run / CHECKPOINT
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise LacunaError(f"there is no checkpoint at {path}; train one with lacuna-export train") from None
    except pickle.UnpicklingError as error:
        if not re.search("unsupported global|unrecognized", str(error), re.IGNORECASE):
            raise LacunaError(f"the checkpoint {path} is damaged, or no file that torch.save wrote; remove it and train again") from None
        raise LacunaError(
            f"the checkpoint {path} is refused: it is a pickle that holds more than tensors and plain values, and loading it could run code"
        ) from None
    except Exception as error:  # torch raises many kinds for a damaged file
        raise LacunaError(f"the checkpoint {path} is damaged ({type(error).__name__}); remove it and train again") from None
    return state


def _log(run: Path, record: dict[str, Any]) -> None:
    with (run / METRICS).open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(record) + "\n")
