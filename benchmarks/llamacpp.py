"""llama.cpp as a rival: a causal model of our model's shape as a GGUF file, and fills by fill-in-the-middle prompts.

Its C interface is called directly, so that Python adds as good as nothing to a token. Needs the extra `versus`.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
from gguf.quants import quantize

from engine.errors import ModelError
from engine.passage import Passage
from engine.text import Text
from export.model import ModelConfig

TYPES = {"f32": gguf.GGMLQuantizationType.F32, "q8_0": gguf.GGMLQuantizationType.Q8_0}
# Marks of a prefix-suffix-middle prompt: any three ids that text never holds do, since weights are random.
_PREFIX, _SUFFIX, _MIDDLE = 2, 3, 4


def write_gguf(file: Path, config: ModelConfig, kind: str, window: int) -> None:
    """A llama of random weights: `config`'s layers and one more for our slot head, tied, its matrices stored as `kind` (of `TYPES`)."""
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(window)
    writer.add_block_count(config.layers + 1)
    writer.add_embedding_length(config.width)
    writer.add_feed_forward_length(config.hidden)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.heads)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(config.head_size)
    writer.add_rope_freq_base(config.rotary_base)
    writer.add_vocab_size(config.vocabulary)
    writer.add_tokenizer_model("none")

    def matrix(name: str, rows: int, columns: int) -> None:
        weight = rng.normal(0, columns**-0.5, (rows, columns)).astype(np.float32)
        writer.add_tensor(f"{name}.weight", quantize(weight, TYPES[kind]), raw_dtype=TYPES[kind])

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(config.width, dtype=np.float32))

    matrix("token_embd", config.vocabulary, config.width)
    norm("output_norm")
    for layer in range(config.layers + 1):
        block = f"blk.{layer}"
        norm(f"{block}.attn_norm")
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"{block}.{part}", config.width, config.width)
        norm(f"{block}.ffn_norm")
        matrix(f"{block}.ffn_gate", config.hidden, config.width)
        matrix(f"{block}.ffn_up", config.hidden, config.width)
        matrix(f"{block}.ffn_down", config.width, config.hidden)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@dataclass(frozen=True)
class Filled:
    """The holes' texts, the prompt rows and the tokens that were run for them, and the milliseconds that went to prompts."""

    texts: tuple[str, ...]
    prompt_rows: int
    tokens: int
    prompt_ms: float


class LlamaCpp:
    """One loaded GGUF file, with a key/value cache for `window` rows. Raises ModelError where llama.cpp can't load it."""

    def __init__(self, file: Path, text: Text, *, window: int, threads: int) -> None:
        self.text = text
        llama_cpp.llama_log_set(_DROP, ctypes.c_void_p(0))
        self.model = llama_cpp.llama_model_load_from_file(str(file).encode(), llama_cpp.llama_model_default_params())
        if self.model is None:
            raise ModelError(f"llama.cpp can't load {file}; look for another version of llama-cpp-python")
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = parameters.n_batch = window
        parameters.n_threads = parameters.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, parameters)
        if self.context is None:
            raise ModelError(f"llama.cpp can't open {file} with a window of {window}; look for another version of llama-cpp-python")
        self.memory = llama_cpp.llama_get_memory(self.context)
        self._cached: list[int] = []

    def close(self) -> None:
        llama_cpp.llama_free(self.context)
        llama_cpp.llama_model_free(self.model)

    def forget(self) -> None:
        """Empty the key/value cache."""
        llama_cpp.llama_memory_clear(self.memory, False)
        self._cached = []

    def fill(self, passage: Passage, temperature: float, seed: int) -> Filled:
        """Fill the holes of fixed length one after the other, each with a prompt of its own over the whole passage.

        A prompt holds the fills before it and leaves out the holes after it. Rows that two prompts begin with are kept.
        """
        pieces = [self.text.encode(piece) for piece in passage.pieces]
        parameters = llama_cpp.llama_sampler_chain_default_params()
        sampler = llama_cpp.llama_sampler_chain_init(parameters)
        llama_cpp.llama_sampler_chain_add(sampler, llama_cpp.llama_sampler_init_temp(temperature))
        llama_cpp.llama_sampler_chain_add(sampler, llama_cpp.llama_sampler_init_dist(seed))
        texts, rows, prompt_ms = [], 0, 0.0
        before: list[int] = []
        for hole, length in enumerate(passage.budgets):
            before = [*before, *pieces[hole]]
            after = [token for piece in pieces[hole + 1 :] for token in piece]
            began = time.perf_counter()
            rows += self._prompt([_PREFIX, *before, _SUFFIX, *after, _MIDDLE])
            prompt_ms += (time.perf_counter() - began) * 1000
            fill = self._generate(sampler, length)
            texts.append(self.text.decode(fill))
            before += fill
        llama_cpp.llama_sampler_free(sampler)
        return Filled(tuple(texts), rows, sum(passage.budgets), prompt_ms)

    def _prompt(self, prompt: list[int]) -> int:
        """Run the part of the prompt that is not in the cache; returns its number of rows, at least 1."""
        pairs = zip(self._cached, prompt[:-1], strict=False)
        kept = next((at for at, (old, new) in enumerate(pairs) if old != new), min(len(self._cached), len(prompt) - 1))
        llama_cpp.llama_memory_seq_rm(self.memory, 0, kept, -1)
        self._cached = self._cached[:kept]
        self._run(prompt[kept:])
        return len(prompt) - kept

    def _generate(self, sampler: llama_cpp.llama_sampler_p, length: int) -> list[int]:
        tokens: list[int] = []
        while True:
            tokens.append(llama_cpp.llama_sampler_sample(sampler, self.context, -1))
            if len(tokens) == length:
                return tokens
            self._run(tokens[-1:])

    def _run(self, tokens: Sequence[int]) -> None:
        """One pass, whose last row's logits can be sampled then."""
        rows = (llama_cpp.llama_token * len(tokens))(*tokens)
        if llama_cpp.llama_decode(self.context, llama_cpp.llama_batch_get_one(rows, len(tokens))) != 0:
            raise ModelError(f"llama.cpp can't run {len(tokens)} rows more; its window is too small for this passage")
        self._cached.extend(tokens)


def _drop(level: int, text: bytes, data: ctypes.c_void_p) -> None:
    """Takes what llama.cpp would write to stderr."""


_DROP = llama_cpp.llama_log_callback(_drop)  # kept here: llama.cpp calls it as long as the process lives
