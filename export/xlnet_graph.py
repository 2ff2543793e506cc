"""XLNet as an ONNX graph on the contract of `export.as_arm_graph`: content rows, slot rows, masks as inputs, a cache.

Yang et al., arXiv 1906.08237: two streams share all weights. Content rows are the content stream; slot rows are the query stream, which
starts from one learnt vector and runs through every layer, so that they need no source. Both go through each layer as one sequence,
of which the content rows alone leave keys and values. The last layer's content stream is read by nobody and left out.

*Relative positions* (section 2.2 there, and Dai et al., arXiv 1901.02860): the score of a key at distance d behind the query is, beside
that of their contents, (q + r_r_bias) · W_r R(d). All W_r R(d) of a window are constants, so a row's scores for all distances are one
product, from which each key picks its own by (query position - key position). Hence `past_positions`: a cached key has to say where it
stands. Rows of one segment have the same segment term for every key, which a softmax doesn't see: it is left out.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper
from torch import Tensor

from export.graph_builder import GraphBuilder
from export.xlnet_config import XlnetConfig

_HIDDEN = np.float32(-1e30)  # what XLNet itself adds to the scores of what a row may not see
_FLOAT, _INT, _BOOL, _INT32 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.BOOL, onnx.TensorProto.INT32
_GELUS = {"gelu": "none", "gelu_new": "tanh"}

FloatArray = NDArray[np.float32]


def distances(config: XlnetConfig, longest: int) -> int:
    """The largest distance that is told from smaller ones, in a sequence of `longest` positions."""
    return longest - 1 if config.clamp_len is None else min(longest - 1, config.clamp_len)


def encodings(config: XlnetConfig, longest: int) -> FloatArray:
    """R(d) `[2 * furthest + 1, width]` for all distances d from -furthest to furthest, ascending; sines first, then cosines."""
    furthest = distances(config, longest)
    found: FloatArray = encoded(torch.arange(-furthest, furthest + 1), config.width).numpy()
    return found


def encoded(distances: Tensor, width: int) -> Tensor:
    """R(d) `[N, width]` of the distances `[N]`.

    In float32 and by torch, step by step as transformers has it: at distances of hundreds rounding otherwise differs by 6e-5, which shows
    in the logits.
    """
    powers = torch.pow(10000, torch.arange(0, width, 2).float() / width)
    angles = distances.float()[:, None] * (1 / powers)
    return torch.cat((angles.sin(), angles.cos()), dim=-1)


def xlnet_to_onnx(config: XlnetConfig, weights: Mapping[str, FloatArray], longest: int) -> onnx.ModelProto:
    """The float32 graph for positions below `longest`; `weights` are a checkpoint's, by its own names (`XlnetConfig.shapes`)."""
    return _XlnetBuilder(config, weights, longest).graph()


class _XlnetBuilder(GraphBuilder):
    def __init__(self, config: XlnetConfig, weights: Mapping[str, FloatArray], longest: int) -> None:
        super().__init__(weights)
        self.config = config
        self.furthest = distances(config, longest)
        self.encodings = self.constant("encodings", encodings(config, longest) * np.float32(config.head_size**-0.5))
        self.caches = 0

    def graph(self) -> onnx.ModelProto:
        config = self.config
        content = self.op("Shape", "content_ids", start=1, end=2)
        slots = self.op("Shape", "slot_targets")
        x = self.op("Gather", self.weight("transformer.word_embedding.weight"), "content_ids")
        asked = self.op("Expand", self.weight("transformer.mask_emb"), self.op("Concat", slots, self.ints("one", 1), axis=0))
        keys_at = self.op("Concat", "past_positions", "content_positions", axis=1)
        rows_at = self.op("Concat", "content_positions", "slot_targets", axis=1)
        seen = self.op("Concat", "content_visibility", "slot_visibility", axis=1)
        both = (self.distance_index(rows_at, keys_at), self.mask(seen))
        alone = (self.distance_index("slot_targets", keys_at), self.mask("slot_visibility"))
        rows = asked
        for layer in range(config.layers):
            name = f"transformer.layer.{layer}"
            last = layer == config.layers - 1
            keys, values = self.keys_values(x, f"{name}.rel_attn")
            rows = asked if last else self.op("Concat", x, asked, axis=1)
            rows = self.attention(rows, keys, values, *(alone if last else both), f"{name}.rel_attn")
            rows = self.feed_forward(rows, f"{name}.ff")
            if not last:
                x = self.op("Slice", rows, self.ints("zero", 0), content, self.ints("one", 1))
                asked = self.op("Slice", rows, content, self.ints("end", np.iinfo(np.int64).max), self.ints("one", 1))
        states = self.op("Identity", rows, out="states")
        output = "transformer.word_embedding.weight" if config.tied else "lm_loss.weight"
        logits = self.op("MatMul", states, self.op("Transpose", self.weight(output), perm=[1, 0]))
        self.op("Add", logits, self.weight("lm_loss.bias"), out="logits")
        return self.model("xlnet", self.inputs(), self.outputs())

    def distance_index(self, rows_at: str, keys_at: str) -> str:
        """Positions `[B, R]` and `[B, K]` to which of the encodings lies between each two, int32 `[B, H, R, K]`."""
        apart = self.op(
            "Sub", self.op("Unsqueeze", rows_at, self.ints("last_axis", -1)), self.op("Unsqueeze", keys_at, self.ints("one", 1))
        )
        furthest = np.array(self.furthest)
        apart = self.op("Clip", apart, self.constant("nearest", -furthest), self.constant("furthest", furthest))
        index = self.op("Cast", self.op("Add", apart, self.constant("furthest", furthest)), to=_INT32)
        index = self.op("Unsqueeze", index, self.ints("one", 1))
        return self.op("Expand", index, self.constant("all_heads", np.array([1, self.config.heads, 1, 1])))

    def mask(self, visibility: str) -> str:
        """Visibility `[B, R, K]` to what is added to scores, `[B, 1, R, K]`: once, for all layers."""
        seen = self.op("Unsqueeze", visibility, self.ints("one", 1))
        return self.op("Where", seen, self.constant("shown", np.float32(0)), self.constant("hidden", _HIDDEN))

    def keys_values(self, x: str, name: str) -> tuple[str, str]:
        """Content rows `[B, C, width]` to all keys and values, past and new, `[B, H, P + C, D]`."""
        return self.cached(self.heads(self.product(x, f"{name}.k"))), self.cached(self.heads(self.product(x, f"{name}.v")))

    def cached(self, rows: str) -> str:
        past, new = f"past_{self.caches}", f"new_{self.caches}"
        self.caches += 1
        self.op("Identity", rows, out=new)
        return self.op("Concat", past, rows, axis=2)

    def attention(self, rows: str, keys: str, values: str, index: str, mask: str, name: str) -> str:
        query = self.product(rows, f"{name}.q")
        # W_r R(d) of all distances, `[H, D, 2 * furthest + 1]`: made when the graph is loaded.
        places = self.op("MatMul", self.encodings, self.matrix(f"{name}.r"))
        places = self.op("Reshape", places, self.constant("split_places", np.array([-1, self.config.heads, self.config.head_size])))
        places = self.op("Transpose", places, perm=[1, 2, 0])
        by_place = self.op("MatMul", self.heads(self.op("Add", query, self.flat_bias(f"{name}.r_r_bias"))), places)
        scores = self.op("Add", self.op("GatherElements", by_place, index, axis=3), mask)
        queries = self.heads(self.op("Add", query, self.flat_bias(f"{name}.r_w_bias")))
        mixed = self.op("Transpose", self.op("Attention", queries, keys, values, scores), perm=[0, 2, 1, 3])
        flat = self.op("Reshape", mixed, self.constant("flat", np.array([0, 0, self.config.width])))
        out = self.op("MatMul", flat, self.constant(f"{name}.o", self.weights[f"{name}.o"].reshape(self.config.width, -1).T))
        return self.layer_norm(self.op("Add", out, rows), name)

    def feed_forward(self, x: str, name: str) -> str:
        inner = self.linear(x, f"{name}.layer_1")
        activation = self.config.activation
        if activation == "relu":
            inner = self.op("Relu", inner)
        elif activation == "silu":
            inner = self.op("Mul", inner, self.op("Sigmoid", inner))
        else:
            inner = self.op("Gelu", inner, approximate=_GELUS[activation])
        return self.layer_norm(self.op("Add", self.linear(inner, f"{name}.layer_2"), x), name)

    def linear(self, x: str, name: str) -> str:
        # Transposed here: when the graph is loaded, it would take the memory twice.
        matrix = self.constant(f"{name}.weight", self.weights[f"{name}.weight"].T)
        return self.op("Add", self.op("MatMul", x, matrix), self.weight(f"{name}.bias"))

    def layer_norm(self, x: str, name: str) -> str:
        scale, bias = self.weight(f"{name}.layer_norm.weight"), self.weight(f"{name}.layer_norm.bias")
        return self.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=self.config.epsilon)

    def product(self, x: str, name: str) -> str:
        return self.op("MatMul", x, self.matrix(name))

    def matrix(self, name: str) -> str:
        """A weight `[width, H, D]` as `[width, H * D]`."""
        return self.constant(name, self.weights[name].reshape(self.config.width, -1))

    def flat_bias(self, name: str) -> str:
        return self.constant(name, self.weights[name].reshape(-1))

    def heads(self, x: str) -> str:
        """`[B, R, width]` to `[B, H, R, D]`."""
        split = self.op("Reshape", x, self.constant("split", np.array([0, 0, self.config.heads, self.config.head_size])))
        return self.op("Transpose", split, perm=[0, 2, 1, 3])

    def ints(self, name: str, *values: int) -> str:
        return self.constant(name, np.array(values, dtype=np.int64))

    def inputs(self) -> list[onnx.ValueInfoProto]:
        value = helper.make_tensor_value_info
        return [
            value("content_ids", _INT, ["batch", "content"]),
            value("content_positions", _INT, ["batch", "content"]),
            value("content_visibility", _BOOL, ["batch", "content", "rows"]),
            value("slot_sources", _INT, ["batch", "slots"]),  # of the contract; read by no op
            value("slot_targets", _INT, ["batch", "slots"]),
            value("slot_visibility", _BOOL, ["batch", "slots", "rows"]),
            value("past_positions", _INT, ["batch", "past"]),
            *(self.cache(f"past_{index}", "past") for index in range(self.caches)),
        ]

    def outputs(self) -> list[onnx.ValueInfoProto]:
        ends = [("logits", self.config.vocabulary), ("states", self.config.width)]
        read = [helper.make_tensor_value_info(name, _FLOAT, ["batch", "slots", size]) for name, size in ends]
        return [*read, *(self.cache(f"new_{index}", "content") for index in range(self.caches))]

    def cache(self, name: str, rows: str) -> onnx.ValueInfoProto:
        shape: list[str | int | None] = ["batch", self.config.heads, rows, self.config.head_size]
        return helper.make_tensor_value_info(name, _FLOAT, shape)
