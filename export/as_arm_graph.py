"""The AS-ARM as an ONNX graph, op by op: what `export.model.AsArm.forward` says, in as few and as large ops as ONNX Runtime has.

torch's own exporter spells out rotary embedding, asks for queries, keys and values in three products, and leaves each attention
to convert the mask again: 300 nodes where 200 do. `docs/performance.md` has the figures.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper

from export.graph_builder import GraphBuilder
from export.model import AsArm

# Added to the scores of what a row may not see. Not -inf: a padding row that sees nothing must not become NaN. Scores of
# normalised queries and keys are far smaller, so that float16 has room for the sum.
_HIDDEN = {"float32": -1e30, "float16": -6e4}
_FLOAT, _HALF, _INT, _BOOL = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.INT64, onnx.TensorProto.BOOL


def to_onnx(model: AsArm, *, half_caches: bool = False, half: bool = False) -> onnx.ModelProto:
    """The float32 graph, all sizes but the model's own left open. Inputs and outputs are those of `AsArm.forward`.

    Weights keep torch's names, transposed where they are linear maps; queries', keys' and values' stand side by side in
    one. With `half_caches` past and new keys and values are float16 and attention still float32: half the bytes to read.
    With `half` weights, caches and arithmetic are float16, but for the rotary angles; logits and states come out as float32.
    """
    return _AsArmBuilder(model, half_caches, np.dtype(np.float16 if half else np.float32)).graph()


class _AsArmBuilder(GraphBuilder):
    def __init__(self, model: AsArm, half_caches: bool, kind: np.dtype[np.floating[Any]]) -> None:
        super().__init__({name: each.detach().numpy().astype(kind) for name, each in model.named_parameters()})
        self.as_arm = model
        self.config = model.config
        self.half_caches = half_caches or kind == np.float16
        self.caches = 0

    def graph(self) -> onnx.ModelProto:
        config = self.config
        angles, mask = self.rotary("content_positions"), self.mask("content_visibility")
        x = self.embedded("content_ids", config.width)
        for layer in range(config.layers):
            block = f"blocks.{layer}"
            normed = self.norm(x, f"{block}.attention_norm")
            query, key, value = self.products(normed, f"{block}.attention.query", f"{block}.keys_values.key", f"{block}.keys_values.value")
            keys, values = self.keys_values(key, value, f"{block}.keys_values", angles)
            x = self.op("Add", x, self.attention(query, f"{block}.attention", angles, keys, values, mask))
            x = self.op("Add", x, self.feed_forward(self.norm(x, f"{block}.feed_forward_norm"), f"{block}.feed_forward"))
        key, value = self.products(self.norm(x, "head.content_norm"), "head.keys_values.key", "head.keys_values.value")
        keys, values = self.keys_values(key, value, "head.keys_values", angles)
        states = self.head(x, keys, values)
        self.logits(states)
        return self.model("as_arm", self.inputs(), self.outputs())

    def head(self, x: str, keys: str, values: str) -> str:
        """The slot head: trunk rows to normalised states of the slots."""
        last = self.constant("last_axis", np.array([-1]))
        sources = self.op("Unsqueeze", "slot_sources", last)
        offsets = self.op("Sub", "slot_targets", self.op("GatherND", "content_positions", sources, batch_dims=1))
        steps = self.as_arm.head.steps.numpy()
        reached = self.op("GreaterOrEqual", self.op("Unsqueeze", self.op("Abs", offsets), last), self.constant("steps", steps))
        reached = self.op("ReduceSum", self.op("Cast", reached, to=_INT), last, keepdims=0)
        bucket = self.op("Add", self.op("Mul", self.op("Sign", offsets), reached), self.constant("buckets", np.array(len(steps))))
        y = self.op("Add", self.op("GatherND", x, sources, batch_dims=1), self.op("Gather", self.weight("head.offset.weight"), bucket))
        (query,) = self.products(self.norm(y, "head.attention_norm"), "head.attention.query")
        angles, mask = self.rotary("slot_targets"), self.mask("slot_visibility")
        y = self.op("Add", y, self.attention(query, "head.attention", angles, keys, values, mask))
        y = self.op("Add", y, self.feed_forward(self.norm(y, "head.feed_forward_norm"), "head.feed_forward"))
        return self.as_float("states", lambda out: self.norm(y, "head.out_norm", out=out))

    def rotary(self, positions: str) -> tuple[str, str]:
        """Positions `[B, R]` to cosines and sines `[B, R, D/2]`."""
        places = self.op("Unsqueeze", self.op("Cast", positions, to=_FLOAT), self.constant("last_axis", np.array([-1])))
        angles = self.op("Mul", places, self.constant("inverse", self.as_arm.rotary.inverse.numpy()))
        return self.narrowed(self.op("Cos", angles)), self.narrowed(self.op("Sin", angles))

    def narrowed(self, x: str) -> str:
        """float32, in which angles of far positions are exact enough, to the type that the graph computes in."""
        return x if self.type == np.float32 else self.op("Cast", x, to=_HALF)

    def mask(self, visibility: str) -> str:
        """Visibility `[B, R, K]` to what is added to scores, `[B, 1, R, K]`: once, for all layers."""
        seen = self.op("Unsqueeze", visibility, self.constant("heads_axis", np.array([1])))
        return self.op(
            "Where", seen, self.constant("shown", self.type.type(0)), self.constant("hidden", self.type.type(_HIDDEN[self.type.name]))
        )

    def keys_values(self, key: str, value: str, name: str, angles: tuple[str, str]) -> tuple[str, str]:
        """Products `[B, C, width]` to all keys and values, past and new, `[B, H, P + C, D]`."""
        keys = self.op("RotaryEmbedding", self.heads(self.norm(self.split_heads(key), f"{name}.key_norm")), *angles)
        return self.cached(keys), self.cached(self.heads(self.split_heads(value)))

    def cached(self, rows: str) -> str:
        past, new = f"past_{self.caches}", f"new_{self.caches}"
        self.caches += 1
        if self.half_caches == (self.type == np.float16):
            self.op("Identity", rows, out=new)
            return self.op("Concat", past, rows, axis=2)
        self.op("Cast", rows, out=new, to=_HALF)
        return self.op("Cast", self.op("Concat", past, new, axis=2), to=_FLOAT)

    def attention(self, query: str, name: str, angles: tuple[str, str], keys: str, values: str, mask: str) -> str:
        queries = self.op("RotaryEmbedding", self.heads(self.norm(self.split_heads(query), f"{name}.query_norm")), *angles)
        mixed = self.heads(self.op("Attention", queries, keys, values, mask))
        flat = self.op("Reshape", mixed, self.constant("flat", np.array([0, 0, self.config.width])))
        (out,) = self.products(flat, f"{name}.out")
        return out

    def split_heads(self, x: str) -> str:
        """`[B, R, width]` to `[B, R, H, D]`."""
        return self.op("Reshape", x, self.constant("split", np.array([0, 0, self.config.heads, self.config.head_size])))

    def heads(self, x: str) -> str:
        """`[B, R, H, D]` to `[B, H, R, D]`, and back."""
        return self.op("Transpose", x, perm=[0, 2, 1, 3])

    def inputs(self) -> list[onnx.ValueInfoProto]:
        value = helper.make_tensor_value_info
        return [
            value("content_ids", _INT, ["batch", "content"]),
            value("content_positions", _INT, ["batch", "content"]),
            value("content_visibility", _BOOL, ["batch", "content", "rows"]),
            value("slot_sources", _INT, ["batch", "slots"]),
            value("slot_targets", _INT, ["batch", "slots"]),
            value("slot_visibility", _BOOL, ["batch", "slots", "rows"]),
            *(self.cache(f"past_{index}", "past") for index in range(self.caches)),
        ]

    def outputs(self) -> list[onnx.ValueInfoProto]:
        ends = [("logits", self.config.vocabulary), ("states", self.config.width)]
        read = [helper.make_tensor_value_info(name, _FLOAT, ["batch", "slots", size]) for name, size in ends]
        return [*read, *(self.cache(f"new_{index}", "content") for index in range(self.caches))]

    def cache(self, name: str, rows: str) -> onnx.ValueInfoProto:
        shape: list[str | int | None] = ["batch", self.config.heads, rows, self.config.head_size]
        return helper.make_tensor_value_info(name, _HALF if self.half_caches else _FLOAT, shape)
