"""Training an AS-ARM: on a CPU, one GPU or many (under torchrun); resumable, with metrics as JSON lines and a plot."""

from __future__ import annotations

import copy
import itertools
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
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from tqdm import tqdm

from engine.errors import LacunaError
from export import corpus
from export.examples import IGNORED, Batch, Windows
from export.losses import Drafts, StepLosses, draft_rows
from export.model import AsArm
from export.muon import Muon
from export.parallel import Team, join_team
from export.plots import plot_training
from export.recipes import Recipe
from export.utilisation import flops_per_row, peak_flops
from export.validation import Losses, draw_passages, encode_passages, measure, summarise
from export.vocabulary import train_tokenizer

CHECKPOINT = "checkpoint.pt"
METRICS = "metrics.jsonl"
TOKENIZER = "tokenizer.json"
_VALIDATION_SEED = 20251
_VALIDATION_LINES = 192
_TOKENIZER_BYTES = 40_000_000
_AVERAGED_STEPS = 10  # the average goes back over one step in so many, at most
_AHEAD = 4  # micro-batches that each process of the data keeps ready


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


@dataclass(frozen=True)
class Goal:
    """When a run is done: after so many steps, or so many seconds of wall-clock time, pauses between its parts not counted."""

    steps: int | None = None
    seconds: float | None = None

    def reached(self, step: int, seconds: float) -> float:
        """The share of the run that is done; 1 or more: all of it. Every run has a step."""
        if step == 0:
            return 0.0
        return step / self.steps if self.steps is not None else seconds / self.seconds if self.seconds is not None else 0.0

    def __str__(self) -> str:
        return f"{self.steps}" if self.steps is not None else f"{(self.seconds or 0) / 60:g} minutes"


def rate_at(step: int, reached: float, recipe: Recipe) -> float:
    """Share of the full learning rate at `step`, with a share `reached` of the run behind: warm-up, then flat, then linear to 0."""
    return min(1.0, (step + 1) / recipe.warmup) * min(1.0, max(0.0, 1.0 - reached) / max(1e-9, recipe.decay))


def make_optimizers(model: AsArm, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside; AdamW for embeddings and norms."""
    hidden = [p for name, p in model.named_parameters() if p.ndim == 2 and "embedding" not in name and "offset" not in name]
    inner = {id(p) for p in hidden}
    rest = [p for p in model.parameters() if id(p) not in inner]
    return [
        Muon(hidden, lr=recipe.muon_rate),
        torch.optim.AdamW(rest, lr=recipe.adam_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
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
    """What a checkpoint holds: the weights that are trained and their average, which is what is validated and exported.

    `seconds` of wall-clock time went into the `step` steps so far, validation and start included.
    """

    model: AsArm
    average: AsArm
    optimizers: list[torch.optim.Optimizer]
    recipe: Recipe
    step: int = 0
    seconds: float = 0.0

    @classmethod
    def fresh(cls, recipe: Recipe, device: torch.device, weights: dict[str, Tensor] | None = None) -> State:
        """Random weights by the recipe's seed, or given ones."""
        torch.manual_seed(recipe.seed)
        model = AsArm(recipe.model).to(device)
        if weights is not None:
            model.load_state_dict(weights)
        average = copy.deepcopy(model).requires_grad_(False)
        return cls(model, average, make_optimizers(model, recipe), recipe)

    def restore(self, run: Path) -> None:
        """Go on from the run's checkpoint. Raises LacunaError where another recipe made it."""
        saved = load_checkpoint(run)
        if saved["recipe"] != asdict(self.recipe):
            raise LacunaError(f"{run / CHECKPOINT} was trained by another recipe; use another run folder or the same recipe")
        if "optimizers" not in saved:
            raise LacunaError(
                f"{run / CHECKPOINT} holds the finished weights alone, which can't be trained further as they are; "
                "begin a new run from it with --start-from"
            )
        self.model.load_state_dict(saved["weights"])
        self.average.load_state_dict(saved["model"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.step, self.seconds = saved["step"], saved["seconds"]

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
        with torch.no_grad():
            # Runs by the clock have any number of steps: the average must not hold on to how they began.
            fresh = max(1.0 - self.recipe.average, _AVERAGED_STEPS / (_AVERAGED_STEPS + self.step))
            torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), fresh)
        self.step += 1


class MicroBatches(Sampler[list[int]]):
    """Numbers of the lines that one process works on: those of its rank, `micro` at a time, from `step` on for ever."""

    def __init__(self, step: int, batch: int, micro: int, team: Team) -> None:
        self.step, self.batch, self.micro, self.team = step, batch, micro, team

    def __iter__(self) -> Iterator[list[int]]:
        share = self.batch // self.team.size
        for first in range(self.step * self.batch + self.team.rank * share, 1 << 62, self.batch):
            for start in range(first, first + share, self.micro):
                yield list(range(start, min(start + self.micro, first + share)))


class _Lines(Dataset[tuple[Batch, Drafts]]):
    """Packed lines with their draft rows; line i is a function of the recipe's seed and i alone."""

    def __init__(self, windows: Windows, furthest: int) -> None:
        self.windows, self.furthest = windows, furthest

    def __getitem__(self, index: int) -> tuple[Batch, Drafts]:
        line = self.windows[index]
        generator = torch.Generator().manual_seed(self.windows.seed * 1_000_003 + index)
        sources, targets, labels = draft_rows(Batch(*(part[None] for part in line)), self.furthest, generator)
        return line, (sources[0], targets[0], labels[0])


def load_lines(
    windows: Windows, furthest: int, numbers: Sampler[list[int]], workers: int, device: torch.device
) -> Iterator[tuple[Batch, Drafts]]:
    """The lines of each list of numbers, collated, on the device; made ahead by so many processes, or by this one where that is 0."""
    loader: DataLoader[tuple[Batch, Drafts]] = DataLoader(
        _Lines(windows, furthest),
        batch_sampler=numbers,
        num_workers=workers,
        prefetch_factor=_AHEAD if workers else None,
        collate_fn=_narrow,
        worker_init_fn=_alone,
    )
    for rows, drafts in loader:
        sources, targets, labels = _widen(drafts, device)
        yield Batch(*_widen(rows, device)), (sources, targets, labels)


def _narrow(lines: list[tuple[Batch, Drafts]]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Rows `[7, B, T]` and draft rows `[3, B, A]`, as arrays: these go through a pipe, where tensors would need shared memory,
    of which containers have little."""
    rows, drafts = (torch.stack([torch.stack(tuple(part)) for part in parts], 1) for parts in zip(*lines, strict=True))
    return rows.int().numpy(), drafts.int().numpy()


def _widen(arrays: NDArray[np.int32], device: torch.device) -> tuple[Tensor, ...]:
    narrow = torch.from_numpy(arrays)
    if device.type == "cuda":
        narrow = narrow.pin_memory()  # else the copy would wait for all that the GPU has to do
    return narrow.to(device, non_blocking=True).long().unbind()


def _alone(worker: int) -> None:
    # The cores are shared out among the processes already.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


class _Steps:
    """Gradients of one step after another: takes this process's lines, `micro` at a time, and sums over the team."""

    def __init__(self, state: State, windows: Windows, team: Team, micro: int | None, compiled: bool) -> None:
        recipe = state.recipe
        self.state, self.team = state, team
        self.share = recipe.batch // team.size
        self.micro = min(micro or self.share, self.share)
        self.losses = StepLosses(state.model, compiled or team.device.type == "cuda")
        gpu = team.device.type == "cuda"
        # A GPU takes more rows than a core makes: every core but the one that feeds it works for it.
        workers = max(1, ((os.cpu_count() or 1) - 1) // team.size) if gpu else 0
        numbers = MicroBatches(state.step, recipe.batch, self.micro, team)
        self.batches = load_lines(windows, recipe.furthest, numbers, workers, team.device)
        if self.losses.compiled:
            first = next(self.batches)
            began = time.perf_counter()
            problem = self.losses.check(*first)
            if team.leads:
                fine = f"compiled in {time.perf_counter() - began:.0f} s; losses and gradients agree with plain ones"
                tqdm.write(f"{problem}; training goes on uncompiled, which is slower" if problem else fine)
            self.batches = itertools.chain([first], self.batches)

    def backward(self) -> Tensor:
        """Leaves the summed gradients on the model; returns the mean losses of next tokens and of draft rows over all processes, `[2]`.

        On a GPU that tensor is a promise: reading it waits until the step is computed.
        """
        team, recipe = self.team, self.state.recipe
        drawn = list(itertools.islice(self.batches, math.ceil(self.share / self.micro)))
        # Counted first: the mean is over all rows of the step, wherever and in whatever portions they are worked on.
        counts = [torch.stack([(batch.labels != IGNORED).sum(), (drafts[2] != IGNORED).sum()]) for batch, drafts in drawn]
        asked = team.sum(torch.stack(counts).sum(0)).clamp(min=1)
        total = torch.zeros(2, device=team.device)
        for batch, drafts in drawn:
            nexts, ahead = self.losses(batch, drafts)
            means = torch.stack([nexts.sum(), ahead.sum()]) / asked
            (means[0] + recipe.ahead * means[1]).backward()
            total += means.detach()
        team.sum_gradients(self.state.model.parameters())
        return team.sum(total)


def train(
    corpus_folder: Path,
    run: Path,
    recipe: Recipe,
    tokens: float | None = None,
    *,
    minutes: float | None = None,
    validate_every: float = 5.0,
    compiled: bool = False,
    micro: int | None = None,
    start_from: Path | None = None,
) -> Losses:
    """Train on `tokens` rows in all, or for `minutes` in all (a resumed run counts what went before); returns held-out losses.

    Minutes are counted from the call, so that start, compilation and validation are in them, and the learning rate has decayed
    when they are over; only the last validation and checkpoint come after. Writes `checkpoint.pt`, `metrics.jsonl`, `loss.png` and
    `tokenizer.json` to `run`, every `validate_every` minutes and at the end. `micro` lines at a time go through the model (gradients
    accumulate; default: all of this process's). The step is always `compiled` on a GPU. A new run starts from the weights and the
    tokenizer of the run `start_from`, where one is given. Raises LacunaError for a run of another recipe, a damaged corpus, a full
    disk, too little memory on the GPU, or a loss that is no number (the last checkpoint stays as it was).
    """
    began = time.monotonic()
    with join_team() as team:
        if recipe.batch % team.size:
            raise LacunaError(f"{team.size} processes can't share the recipe's batch of {recipe.batch} lines evenly; start another number")
        try:
            run.mkdir(parents=True, exist_ok=True)
            split = corpus.load(corpus_folder, "train")
            state = _open(run, recipe, team, start_from)
            tokenizer = _shared_tokenizer(run, split, recipe, team)
            windows = Windows(split, tokenizer, recipe.rows, recipe.seed, recipe.holes, recipe.prompting, recipe.context)
            passages = draw_passages(corpus.load(corpus_folder, "held_out"), recipe.rows, _VALIDATION_LINES, _VALIDATION_SEED)
            lines = encode_passages(passages, tokenizer, recipe.rows, bidirectional=recipe.prompting.bidirectional > 0)

            def validate() -> Losses:
                return summarise(measure(state.average, lines, recipe.furthest), passages)

            steps = None if tokens is None else max(1, round(tokens / (recipe.batch * recipe.rows)))
            goal = Goal(steps, None if minutes is None else 60 * minutes)
            clock = _Clock(began - state.seconds, team)
            return _loop(run, state, _Steps(state, windows, team, micro, compiled), goal, clock, validate, validate_every)
        except OSError as error:
            raise LacunaError(f"the run {run} can't be written ({error.strerror}); the last whole checkpoint is kept") from None
        except torch.OutOfMemoryError:
            raise LacunaError(
                f"the GPU has no room for {micro or recipe.batch // team.size} lines of {recipe.rows} rows at once; "
                "name fewer with --micro-batch"
            ) from None


@dataclass(frozen=True)
class _Clock:
    """Seconds since `zero` (by time.monotonic), the same in all processes of the team."""

    zero: float
    team: Team

    def read(self) -> float:
        return self.team.agreed(time.monotonic() - self.zero)


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


def _loop(
    run: Path, state: State, work: _Steps, goal: Goal, clock: _Clock, validate: Callable[[], Losses], validate_every: float
) -> Losses:
    recipe, team = state.recipe, work.team
    state.seconds = clock.read()
    started, next_validation = state.step, state.seconds + validate_every * 60
    last = None
    bar = tqdm(total=goal.steps, initial=state.step, unit="step", desc=recipe.name, mininterval=2, disable=not team.leads)
    journal = _Journal(run, state, team, bar)
    with StopOnSignal() as stop, bar:
        while (reached := goal.reached(state.step, state.seconds)) < 1 and not team.any(stop.asked):
            losses = work.backward()
            rate = rate_at(state.step, reached, recipe)
            state.update(rate)
            state.seconds = clock.read()
            journal.take(losses, rate)
            if state.seconds >= next_validation and goal.reached(state.step, state.seconds) < 1:
                next_validation = state.seconds + validate_every * 60
                journal.flush()
                if team.leads:
                    last = _keep(run, state, journal, validate)
                state.seconds = clock.read()
        journal.flush()
        if team.leads and reached < 1:
            state.save(run)
            bar.write(f"stopped at step {state.step} of {goal}; the same command goes on from there")
        elif team.leads and state.step > started:
            last = _keep(run, state, journal, validate)
    return last if last is not None else validate()


def _keep(run: Path, state: State, journal: _Journal, validate: Callable[[], Losses]) -> Losses:
    """Validate, and write checkpoint, metrics and plot."""
    losses = validate()
    journal.note(asdict(losses))
    journal.bar.write(f"step {state.step}: held out {losses}")
    state.save(run)
    plot_training(run / METRICS, run / "loss.png")
    return losses


class _Journal:
    """Writes metrics and shows progress, a step late: to read a loss is to wait for a GPU, which meanwhile has the next step to do."""

    def __init__(self, run: Path, state: State, team: Team, bar: tqdm[NoReturn]) -> None:
        self.run, self.state, self.team, self.bar = run, state, team, bar
        self._flops = flops_per_row(state.model, state.recipe.rows)
        self._peak = peak_flops(team.device) * team.size
        self._waiting: tuple[dict[str, float], Tensor, float, float] | None = None
        self._before = time.perf_counter()

    def take(self, losses: Tensor, rate: float) -> None:
        """The losses `[2]` of the step that was just made, to be written when the next one is under way."""
        reached = self._reached()
        self.flush()
        now = time.perf_counter()
        self._waiting, self._before = (reached, losses, rate, now - self._before), now

    def flush(self) -> None:
        """Write what is waiting. Raises LacunaError where a loss is no number."""
        if self._waiting is None:
            return
        (reached, losses, rate, took), self._waiting = self._waiting, None
        loss, draft_loss = losses.tolist()
        if not math.isfinite(loss + draft_loss):
            raise LacunaError(
                f"the loss at step {reached['step'] - 1} is {loss} (draft rows: {draft_loss}); the last good checkpoint is kept in "
                f"{self.run}: lower the rates and resume"
            )
        if not self.team.leads:
            return
        speed = self.state.recipe.batch * self.state.recipe.rows / took
        used = speed * self._flops / self._peak
        self.bar.update()
        self.bar.set_postfix_str(f"loss {loss:.3f}, {speed:,.0f} tokens/s, {used:.0%} of peak", refresh=False)
        record = {"loss": loss, "draft_loss": draft_loss, "rate": rate, "utilisation": used}
        self._write({**reached, **{name: round(value, 4) for name, value in record.items()}, "tokens_per_second": round(speed)})

    def note(self, figures: dict[str, float]) -> None:
        """Write figures of the model as it is now."""
        self._write({**self._reached(), **figures})
        self._before = time.perf_counter()

    def _reached(self) -> dict[str, float]:
        done = self.state.step * self.state.recipe.batch * self.state.recipe.rows
        return {"step": self.state.step, "seconds": round(self.state.seconds, 1), "tokens": done, "flops": done * self._flops}

    def _write(self, record: dict[str, float]) -> None:
        with (self.run / METRICS).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(record) + "\n")


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
