"""`lacuna-export verify`: whether a model folder is what its manifest says and computes what it must, one check after another.

What holds for every graph of the contract (arXiv 2504.20456 for why): a pass over a cache answers as one over all rows, and the
density of a fill comes out the same by one pass as by the chain rule, token by token.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from engine.device_draft_head import DeviceDraftHead
from engine.device_model import DeviceModel
from engine.errors import LacunaError, ModelError
from engine.local import LocalInfiller
from engine.manifest import MANIFEST, FileEntry, Manifest, checked_file, load_manifest
from engine.model import DraftHead, Model, Rows
from engine.onnx_draft_head import load_draft_head
from engine.onnx_model import OnnxModel
from engine.options import FillOptions
from engine.passage import Passage
from engine.sampling import log_softmax
from engine.scoring import conditionals
from engine.sentencepiece_text import SentencePieceText
from engine.sequence import NO_MARK, IntArray, MaskedSequence, teacher_forced
from engine.text import Text
from export import xlnet
from export.device_graph import device_graph
from export.graph_file import write_graph
from export.model import AsArm
from export.onnx_graph import DEVICE, EXACT, TOLERANCE, graph_in, largest_difference
from export.source import Source, read_source
from export.xlnet_config import is_hugging_face
from export.xlnet_model import XlnetReference

FloatArray = NDArray[np.float64]

OK, FAILED, SKIPPED = "ok", "failed", "skipped"
_DOMAINS = {"", "ai.onnx", "com.microsoft"}
# (B, C, S, P)
_SHAPES = ((1, 1, 1, 0), (1, 30, 5, 0), (2, 3, 4, 9), (1, 9, 9, 70))
_ROWS = 96  # of text, at most, that numbers are compared on
_ENDS = (1, 12, 14, 44)  # of the passes over a growing cache, in rows; the last one has the rest
_PASSAGE = Passage(("def add(a, b):\n    return a", "\n"), (8,))
_TEXTS = (
    "",
    " ",
    "\n",
    "\r\n\r\n\t\t x",
    "def naïve(größe):\n\treturn 'é 漢字 🙂' + \"\\n\"  # ½ of it   \n\n\n",
    "<pad><bos><sof><eof><eoh> <unk> <s> </s> [MASK]",
    "        if x:\n            y = 0x1F_FF + 1e-9\n",
    "\u200b\ufeff\u0000\u00a0",
)


@dataclass(frozen=True)
class Check:
    """One check, its outcome `OK`, `FAILED` or `SKIPPED`, and what was found."""

    name: str
    outcome: str
    why: str

    def __str__(self) -> str:
        return f"{self.name:<18} {self.outcome:<8} {self.why}"


@dataclass(frozen=True)
class _Limits:
    """What rounding may do: to a token's log-probability (nats, largest and mean) between passes over other rows of the same model,
    and to the mean divergence (nats a row) from float32. A broken graph is far beyond, a sound one far below."""

    largest: float
    mean: float
    divergence: float


_SAME = 1e-3  # nats: more than another order of the same sums makes of a log-probability
_SAME_BYTES = "byte for byte the graph that the reference gives"
_LIMITS = {
    "float32": _Limits(1e-3, 1e-4, 1e-6),
    "float16": _Limits(0.05, 0.01, 0.01),
    "int8": _Limits(1.0, 0.1, 0.05),
    "int4": _Limits(1.0, 0.1, 0.5),
}


def verify(folder: Path, reference: Path | None = None) -> list[Check]:
    """All checks of a model folder; those of numbers against the weights that it was made from too, where `reference` has them.

    Raises LacunaError where `folder` has no manifest, so that there is nothing to check, and for a reference that can't be read.
    """
    if not (folder / MANIFEST).is_file():
        raise ModelError(f"{folder} is no model folder, as it has no {MANIFEST}; name one that lacuna-export onnx has written")
    source: Source | XlnetReference | None = None
    if reference is not None:
        source = xlnet.read_reference(reference) if is_hugging_face(reference) else read_source(reference)
    checks = _Checks()
    if not checks.add("manifest", lambda: _manifest(load_manifest(folder))):
        return checks
    manifest = load_manifest(folder)
    whole = checks.add("files", lambda: _files(folder, manifest))
    kind = SentencePieceText if manifest.tokenization == "sentencepiece" else Text
    checks.add("tokenizer", lambda: _tokenizer(kind(folder, manifest), manifest))
    exact: OnnxModel | None = None
    for precision in sorted(manifest.graphs, key=lambda name: name != EXACT):
        graph = _Graph(folder, manifest, precision, source, exact)
        sound = whole and checks.add(f"{precision} contract", graph.contract)
        for check in (graph.passes, graph.cache, graph.fill, graph.density, graph.numerics):
            if sound:
                checks.add(f"{precision} {check.__name__}", check)
        if sound and precision == EXACT:
            exact = graph.model
    if manifest.device_graph is not None:
        device = _DeviceGraph(folder, manifest, source, exact)
        sound = whole and checks.add(f"{DEVICE} contract", device.contract)
        for check in (device.cache, device.fill, device.density, device.numerics):
            if sound:
                checks.add(f"{DEVICE} {check.__name__}", check)
    if whole:
        checks.add("draft head", lambda: _draft_head(load_draft_head(folder, manifest), manifest))
        if (entry := manifest.device_draft_head) is not None:
            checks.add(f"{DEVICE} draft head", lambda: _draft_head(DeviceDraftHead(folder, entry, manifest, "cpu"), manifest))
    return checks


class _NothingToCompare(Exception):
    """A check can't be made; the message says why."""


class _Checks(list[Check]):
    def add(self, name: str, check: Callable[[], str]) -> bool:
        """Make a check, which says what it found or raises what is wrong. Whether it found all well."""
        try:
            self.append(Check(name, OK, check()))
        except LacunaError as error:
            self.append(Check(name, FAILED, str(error)))
        except _NothingToCompare as error:
            self.append(Check(name, SKIPPED, str(error)))
        except Exception as error:  # those of ONNX Runtime, onnx and tokenizers share no base class
            self.append(Check(name, FAILED, f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"))
        return self[-1].outcome == OK


def _manifest(manifest: Manifest) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in manifest.made_with.get("versions", {}).items())
    told = f"made with {versions}" if versions else "it does not tell what it was made with"
    graphs = ", ".join([*manifest.graphs, *(["one for GPUs"] if manifest.device_graph else [])])
    return f"{manifest.name}, {manifest.parameters:,} parameters in {graphs}; {told}"


def _files(folder: Path, manifest: Manifest) -> str:
    for entry in manifest.files:
        checked_file(folder, entry)
    size = sum((folder / entry.file).stat().st_size for entry in manifest.files)
    return f"{len(manifest.files)} files, {size / 1e6:.1f} MB, have the SHA-256 that the manifest tells"


def _tokenizer(text: Text, manifest: Manifest) -> str:
    texts = [*_TEXTS, Path(__file__).read_text(encoding="utf-8")]
    special = set(vars(manifest.special_ids).values())
    exact = manifest.tokenization == "byte-level"
    for each in texts:
        tokens = text.encode(each)
        if exact and text.decode(tokens) != each:
            raise ModelError(f"the text {each[:40]!r} comes back from its tokens as {text.decode(tokens)[:40]!r}")
        if special.intersection(tokens) or not all(token < manifest.vocabulary for token in tokens):
            raise ModelError(f"the text {each[:40]!r} gives special tokens, or tokens outside the vocabulary")
    back = "come back unchanged" if exact else f"give tokens of the vocabulary (not every text comes back: {manifest.text_changes})"
    return f"{len(texts)} texts {back}, and none gives a special token"


def _draft_head(head: DraftHead | None, manifest: Manifest) -> str:
    if head is None:
        raise _NothingToCompare("the model has none")
    rng = np.random.default_rng(0)
    states = rng.normal(size=(3, manifest.heads * manifest.head_size)).astype(np.float32)
    following, logits = head.step(states, rng.integers(0, manifest.vocabulary, 3))
    if following.shape != states.shape or logits.shape != (3, manifest.vocabulary):
        raise ModelError(f"a step over 3 rows gives states {list(following.shape)} and logits {list(logits.shape)}")
    return "a step gives states and logits of the right shapes, all finite"


class _Checked:
    """One graph's checks, each named after its method. `contract` comes first; it opens the graph."""

    infiller: LocalInfiller

    def __init__(
        self, folder: Path, manifest: Manifest, precision: str, source: Source | XlnetReference | None, exact: OnnxModel | None
    ) -> None:
        self.folder, self.manifest, self.precision, self.source, self.exact = folder, manifest, precision, source, exact
        self.limits = _LIMITS.get(precision, _LIMITS["int4"])

    def _opsets(self, entry: FileEntry) -> dict[str, int]:
        """A graph's opsets, once its ops, opset and weights' files are known to be what they may be."""
        manifest, path = self.manifest, self.folder / entry.file
        onnx.checker.check_model(str(path))
        proto = onnx.load(str(path), load_external_data=False)
        opsets = {each.domain: each.version for each in proto.opset_import}
        if not opsets.keys() <= _DOMAINS:
            raise ModelError(f"{path} needs ops of {', '.join(sorted(opsets.keys() - _DOMAINS))}, which Lacuna doesn't run")
        if "opset" in manifest.made_with and opsets.get("") != manifest.made_with["opset"]:
            raise ModelError(f"{path} is of opset {opsets.get('')}, its manifest says {manifest.made_with['opset']}")
        named = {entry.data.file} if entry.data else set()
        outside = {each.value for tensor in proto.graph.initializer for each in tensor.external_data if each.key == "location"} - named
        if outside:
            raise ModelError(f"{path} has weights in {', '.join(sorted(outside))}, which its manifest doesn't name")
        return opsets

    def cache(self) -> str:
        """Rows of text in pieces over a growing cache, beside one pass."""
        ids = self._rows()
        whole, pieces = (_logprobs(self.infiller.model, ids, ends) for ends in ([len(ids)], [*_ENDS, len(ids)]))
        asked = (np.arange(len(ids) - 1), ids[1:])
        return f"{len(_ENDS) + 1} passes over a growing cache beside one over all rows: {self._near(pieces[asked], whole[asked])}"

    def fill(self) -> str:
        """A greedy fill, drawn with drafts and one token a pass."""
        result = self.infiller.fill(_PASSAGE, FillOptions(temperature=0))
        (fill,) = result.suggestions[0].fills
        if not all(math.isfinite(logprob) and logprob <= 0 for logprob in fill.logprobs):
            raise ModelError("what a fill has for log-probabilities are none")
        (plain,) = self.infiller.fill(_PASSAGE, FillOptions(temperature=0, method="sequential")).suggestions[0].fills
        if self.precision == EXACT and plain.tokens != fill.tokens:
            raise ModelError(f"the greedy fill is {fill.text!r} with drafts but {plain.text!r} token by token")
        return f"{fill.text!r}, {len(fill.tokens)} tokens in {result.passes} passes, log-likelihood {sum(fill.logprobs):.3f}"

    def density(self) -> str:
        """The greedy fill's tokens by the chain rule, a pass each, beside one pass."""
        (fill,) = self.infiller.fill(_PASSAGE, FillOptions(temperature=0)).suggestions[0].fills
        passage, tokens = _PASSAGE, np.array(fill.tokens)
        if self.manifest.hole_lengths == "compared":
            passage = replace(_PASSAGE, budgets=(len(tokens),), fixed_lengths=(True,))
        sequence = self.infiller.sequence(passage)
        once = log_softmax(conditionals(self.infiller.model, sequence, [fill.tokens]))[np.arange(len(tokens)), tokens]
        chain = _chain(self.infiller.model, sequence, fill.tokens)
        return f"log-likelihood {once.sum():.4f} by one pass, {chain.sum():.4f} by the chain rule; {self._near(once, chain)}"

    def _rows(self) -> IntArray:
        """Rows of this module's own text, `[R]`."""
        tokens = self.infiller.text.encode(Path(__file__).read_text(encoding="utf-8"))
        start = [] if self.manifest.special_ids.bos == NO_MARK else [self.manifest.special_ids.bos]
        return np.array([*start, *tokens], dtype=np.int64)[: min(_ROWS, self.manifest.window)]

    def _near(self, ours: FloatArray, theirs: FloatArray) -> str:
        """Log-probabilities of the same tokens from two ways. Raises ModelError where rounding alone doesn't account for what differs."""
        differences = np.abs(ours - theirs)
        largest, mean = float(differences.max()), float(differences.mean())
        found = f"log-probabilities of {len(differences)} tokens differ by {mean:.1e} nats in the mean and {largest:.1e} at most"
        if not (largest <= self.limits.largest and mean <= self.limits.mean):
            raise ModelError(f"{found}, where {self.limits.mean:g} and {self.limits.largest:g} are allowed")
        return found

    def _beside_made(self, made: Model, ids: IntArray) -> str:
        """Beside a model of the same graph, but for what other versions make of it. Raises ModelError where they are too far apart."""
        ours, theirs = (_logprobs(model, ids, [len(ids)]) for model in (self.infiller.model, made))
        asked = (np.arange(len(ids) - 1), ids[1:])
        apart = float(np.abs(ours[asked] - theirs[asked]).max())
        if not apart <= _SAME:
            raise ModelError(f"log-probabilities differ by up to {apart:.1e} nats from the {self.precision} graph that the reference gives")
        return f"other bytes than the graph that the reference gives here, but log-probabilities differ by at most {apart:.1e} nats"

    def _agreement(self, exact: FloatArray, ids: IntArray) -> str:
        """Own log-probabilities of the rows' successors beside exact ones `[R, V]`. Raises ModelError where they are too far apart."""
        ours = _logprobs(self.infiller.model, ids, [len(ids)])
        likely = exact > -np.inf
        divergence = float((np.exp(exact[likely]) * (exact[likely] - ours[likely])).sum() / len(ids))
        same = float((ours.argmax(axis=-1) == exact.argmax(axis=-1)).mean())
        found = f"{same:.0%} of {len(ids)} rows have the same likeliest token, and they diverge by {divergence:.1e} nats in the mean"
        if not divergence <= self.limits.divergence:
            raise ModelError(f"{found}, where {self.limits.divergence:g} is allowed")
        return found


class _Graph(_Checked):
    """Those of one precision."""

    model: OnnxModel

    def contract(self) -> str:
        """Ops, opset and weights' files; names, types and sizes of inputs and outputs."""
        entry, manifest = self.manifest.graphs[self.precision], self.manifest
        path, opsets = self.folder / entry.file, self._opsets(entry)
        self.infiller = LocalInfiller(self.folder, self.precision)
        assert isinstance(self.infiller.model, OnnxModel)
        self.model = self.infiller.model
        session, cache = self.model.session, [None, manifest.heads, None, manifest.head_size]
        inputs = {each.name: each for each in session.get_inputs()}
        outputs = {each.name: each for each in session.get_outputs()}
        kind = inputs["past_0"].type
        if kind not in ("tensor(float)", "tensor(float16)"):
            raise ModelError(f"{path} has caches of {kind}, neither float32 nor float16")
        wanted = {
            **{name: ("tensor(int64)", [None] * 2) for name in ("content_ids", "content_positions", "slot_sources", "slot_targets")},
            **{name: ("tensor(bool)", [None] * 3) for name in ("content_visibility", "slot_visibility")},
            **({"past_positions": ("tensor(int64)", [None] * 2)} if self.model.takes_positions else {}),
            **{name: (kind, cache) for name in (*self.model.past_names, *(name for name in outputs if name.startswith("new_")))},
            "logits": ("tensor(float)", [None, None, manifest.vocabulary]),
            "states": ("tensor(float)", [None, None, manifest.heads * manifest.head_size]),
        }
        for name, (type_, sizes) in wanted.items():
            found = (inputs | outputs)[name]
            # A size that is left open has a name, or none.
            given = [size if isinstance(size, int) else None for size in found.shape]
            if (found.type, given) != (type_, sizes):
                raise ModelError(f"{path} has {name} as {found.type} of sizes {given}, not {type_} of sizes {sizes} (None: any)")
        return f"opset {opsets['']}, {len(inputs)} inputs and {len(outputs)} outputs of the types and sizes that the manifest promises"

    def passes(self) -> str:
        """Passes of several sizes, random masks and tokens."""
        manifest, session = self.manifest, self.model.session
        rng, past_type, longest = np.random.default_rng(0), self.model.cache_type, manifest.longest_position
        for batch, content, slots, past in _SHAPES:
            sources = rng.integers(0, content, (batch, slots))
            seen = rng.random((batch, content, past + content)) < 0.5
            seen[:, np.arange(content), past + np.arange(content)] = True
            asked = rng.random((batch, slots, past + content)) < 0.5
            np.put_along_axis(asked, past + sources[..., None], True, axis=2)
            shape = (batch, manifest.heads, past, manifest.head_size)
            given = {
                "content_ids": rng.integers(0, manifest.vocabulary, (batch, content)),
                "content_positions": rng.integers(0, longest, (batch, content)),
                "content_visibility": seen,
                "slot_sources": sources,
                "slot_targets": rng.integers(0, longest, (batch, slots)),
                "slot_visibility": asked,
                **({"past_positions": rng.integers(0, longest, (batch, past))} if self.model.takes_positions else {}),
                **{name: rng.normal(size=shape).astype(past_type) for name in self.model.past_names},
            }
            logits, _, *new = session.run(None, given)
            found = [list(each.shape) for each in (logits, *new)]
            wanted = [[batch, slots, manifest.vocabulary], *[[batch, manifest.heads, content, manifest.head_size]] * len(new)]
            if found != wanted:
                wrong = next(pair for pair in zip(found, wanted, strict=True) if pair[0] != pair[1])
                raise ModelError(f"a pass of {content} content and {slots} slot rows over {past} gives {wrong[0]}, not {wrong[1]}")
            if not all(np.isfinite(each).all() for each in (logits, *new)):
                raise ModelError(f"a pass of {content} content and {slots} slot rows over {past} gives numbers that are NaN or infinite")
        return f"{len(_SHAPES)} passes of 1 to 30 rows over caches of 0 to 70 give outputs of the right shapes, all finite"

    def numerics(self) -> str:
        """Beside the weights' own arithmetic in torch, or beside the float32 graph."""
        ids = self._rows()
        if self.source is None and self.exact is None:
            raise _NothingToCompare("no weights to compare with; --reference RUN names the run, or the float32 model folder, that has them")
        if self.source is None:
            assert self.exact is not None
            return f"beside the {EXACT} graph {self._agreement(_logprobs(self.exact, ids, [len(ids)]), ids)}"
        config, named = (self.source.model.config, self.source.name) if isinstance(self.source, Source) else (self.source.config, "XLNet")
        for name in ("vocabulary", "layers", "heads", "head_size"):
            ours, theirs = getattr(self.manifest, name), getattr(config, name)
            if ours != theirs:
                raise ModelError(f"the reference {named} is another model, of {name} {theirs} and not {ours}")
        if isinstance(self.source, XlnetReference):
            apart = xlnet.largest_difference(self.model.path, self.source, self.manifest.window)
            return f"logits differ from torch's by at most {apart:.1e} in random passes"
        if self.precision == EXACT:
            difference = largest_difference(self.model.path, self.source.model, self.manifest.longest_position)
            if not difference.tolerable:
                raise ModelError(f"logits differ from torch's by up to {difference.logits:.2g} (at most {TOLERANCE:g}) in random passes")
            found = f"logits differ from torch's by at most {difference.logits:.1e} in random passes"
        else:
            found = f"beside torch {self._agreement(_torch_logprobs(self.source.model, ids, self.model.never), ids)}"
        return f"{found}; {self._made_anew(self.source.model, ids)}"

    def _made_anew(self, model: AsArm, ids: IntArray) -> str:
        """Beside the same precision's graph made from the reference here: what rounding hides from a comparison with torch shows."""
        entry = self.manifest.graphs[self.precision]
        with tempfile.TemporaryDirectory() as folder:
            made = write_graph(graph_in(self.precision, model), Path(folder) / entry.file)
            alone = replace(self.manifest, graphs={self.precision: made}, draft_head=None)
            return _SAME_BYTES if made == entry else self._beside_made(OnnxModel(Path(folder), alone, threads=1), ids)


class _DeviceGraph(_Checked):
    """Those of the graph for GPUs, run on the CPU."""

    def __init__(self, folder: Path, manifest: Manifest, source: Source | XlnetReference | None, exact: OnnxModel | None) -> None:
        super().__init__(folder, manifest, "float16", source, exact)

    def contract(self) -> str:
        """Ops, opset and weights' files; names and sizes of inputs and outputs."""
        assert self.manifest.device_graph is not None
        opsets = self._opsets(self.manifest.device_graph)
        self.infiller = LocalInfiller(self.folder)
        self.infiller.model = DeviceModel(self.folder, self.manifest, "cpu")
        return f"opset {opsets['']}, caches of {self.infiller.model.cache_type}, inputs and outputs as Lacuna's graphs for GPUs have them"

    def numerics(self) -> str:
        """Beside the weights' own arithmetic in torch, or beside the float32 graph."""
        ids = self._rows()
        if isinstance(self.source, Source):
            never = self.infiller.model.never
            found = f"beside torch {self._agreement(_torch_logprobs(self.source.model, ids, never), ids)}"
            return f"{found}; {self._made_anew(self.source, ids)}"
        if self.exact is None:
            raise _NothingToCompare("no weights to compare with; --reference RUN names the run, or the float32 model folder, that has them")
        return f"beside the {EXACT} graph {self._agreement(_logprobs(self.exact, ids, [len(ids)]), ids)}"

    def _made_anew(self, source: Source, ids: IntArray) -> str:
        entry = self.manifest.device_graph
        assert entry is not None
        with tempfile.TemporaryDirectory() as folder:
            made = write_graph(device_graph(source.model, source.longest_position), Path(folder) / entry.file)
            alone = replace(self.manifest, device_graph=made, draft_head=None, device_draft_head=None)
            return _SAME_BYTES if made == entry else self._beside_made(DeviceModel(Path(folder), alone, "cpu"), ids)


def _logprobs(model: Model, ids: IntArray, ends: Sequence[int]) -> FloatArray:
    """Log-probabilities `[R, V]` of every row's successor, rows `[R]` from left to right, by passes that end before rows `ends`."""
    state, found, start = model.open(), [], 0
    for end in ends:
        rows, inside = np.arange(start, end)[None], np.arange(end - start)[None]
        found.append(state.run(Rows(ids[None, start:end], rows, np.array([end - start]), inside, rows + 1, inside + 1))[0])
        state.keep(np.array([end - start]))
        start = end
    return log_softmax(np.concatenate(found))


def _torch_logprobs(model: AsArm, ids: IntArray, never: Sequence[int]) -> FloatArray:
    """The same by torch, in one pass."""
    rows = torch.arange(len(ids))[None]
    seen = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()[None]
    past = [torch.zeros(1, model.config.heads, 0, model.config.head_size)] * (2 * (model.config.layers + 1))
    with torch.no_grad():
        logits = model(torch.from_numpy(ids)[None], rows, seen, rows, rows + 1, seen, *past)[0][0].numpy()
    logits[:, list(never)] = -np.inf
    return log_softmax(logits)


def _chain(model: Model, sequence: MaskedSequence, tokens: Sequence[int]) -> FloatArray:
    """Log-probability `[N]` of each token of one hole given the prompt and the tokens before it, a pass each."""
    ids, positions = teacher_forced(sequence, [tokens])
    state, found, start = model.open(), [], 0
    for end in range(len(sequence.ids), len(ids)):
        count, mutual = np.array([end - start]), len(sequence.ids) if sequence.mutual and not start else 0
        last, target = np.array([[end - start - 1]]), positions[None, end : end + 1]
        logits = state.run(Rows(ids[None, start:end], positions[None, start:end], count, last, target, last + 1, mutual))
        found.append(log_softmax(logits[0, 0])[ids[end]])
        state.keep(count)
        start = end
    return np.array(found)
