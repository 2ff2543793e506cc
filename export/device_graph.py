"""The AS-ARM as a graph for a GPU: the arithmetic of `export.as_arm_graph` in a layout in which nothing has to leave the device.

What differs, and why:

* *The cache is written in place.* `past_i` and `new_i` are meant to be bound to one buffer `[1, K, width]`; `content_places` says which of
  its rows the pass's content rows take. ScatterND copies nothing then but the new rows, and attention reads the cache alone, so that
  nothing is joined to it. Whatever stands in a row that no mask shows is never seen, so that a row is free once nobody shows it: drafts
  that were refused and contexts that ended cost no compaction.
* *A row is contiguous*, `[K, H * D]` and not `[H, K, D]`: the first K rows of a larger buffer are a cache of K rows.
* *A mask is told in a few numbers*: every row has a key, every cache row the span of keys that see it. A mask of all rows by all cache
  rows would have to be sent for every pass.
* *What depends on positions alone is looked up*: rotary angles by position, buckets of offsets by `slot_offsets`.

For CUDA graphs every op must run on the device, and copy nothing from the host when it is replayed. Kernels of onnxruntime-gpu 1.31.1
that this relies on, read off the types that its libonnxruntime_providers_cuda.so names and off its sources, none of them measured yet:
Attention<float16> (3D inputs, a mask that is added; its memory-efficient kernel reads rows as they lie here where a head's size is a
multiple of 8 and K one of 4, which `DeviceModel` sees to), RotaryEmbedding<float16> (3D, with positions), RMSNorm<float16>,
SkipLayerNorm<float16, simplified> (com.microsoft: a sum and its norm in one), ScatterND (copies nothing where both buffers are one, and
takes sizes by value for up to six dimensions), Gather and Split into equal parts (sizes by value, too), GreaterOrEqual<int64>,
LessOrEqual<int64>, And, Where, MatMul, Sigmoid, Mul, Add, Cast, Reshape. GatherND is left out, as its kernel reads a buffer of the host.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper

from export.graph_builder import EPSILON, GraphBuilder
from export.model import AsArm

# Added to the scores of what a row may not see. Not -inf: padding may see nothing; see `export.as_arm_graph`.
_HIDDEN = {"float32": -1e30, "float16": -6e4}
_FLOAT, _INT = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
_CONTRIBUTED = helper.make_opsetid("com.microsoft", 1)


def device_graph(model: AsArm, longest: int, *, half: bool = True) -> onnx.ModelProto:
    """The graph for positions below `longest`, in float16 with `half`, else in float32; logits and states are float32 in both.

    A pass over one sequence of C content and S slot rows. Inputs, int64: content ids, positions `[1, C]`, `content_places` `[1, C, 2]` (0
    and the cache row), `content_keys` `[C, 1]`; slot sources `[S]` (indices into the content rows), targets `[1, S]`, `slot_offsets`
    `[1, S]` (target - position of the source + longest - 1), `slot_keys` `[S, 1]`; `seen_from`, `seen_to` `[K]`: a row sees the cache rows,
    the pass's own among them, whose span its key lies in, ends included. And `past_i` `[1, K, width]`: keys and values of each trunk
    layer and, last, of the slot head. Outputs: logits `[1, S, V]`, states `[1, S, width]`, and `new_i`: `past_i` with the pass's rows in
    their places.
    """
    return _DeviceBuilder(model, longest, np.dtype(np.float16 if half else np.float32)).graph()


class _DeviceBuilder(GraphBuilder):
    def __init__(self, model: AsArm, longest: int, kind: np.dtype[np.floating[Any]]) -> None:
        super().__init__({name: each.detach().numpy().astype(kind) for name, each in model.named_parameters()})
        self.as_arm = model
        self.config = model.config
        self.longest = longest
        self.caches = 0
        # As torch has the angles: float32 until they are rounded.
        angles = np.arange(longest, dtype=np.float32)[:, None] * model.rotary.inverse.numpy()
        self.cosines, self.sines = (self.constant(name, of(angles).astype(kind)) for name, of in (("cosines", np.cos), ("sines", np.sin)))

    def graph(self) -> onnx.ModelProto:
        config, mask = self.config, self.mask("content_keys")
        x = self.embedded("content_ids", config.width)
        normed = self.norm(x, "blocks.0.attention_norm")
        for layer in range(config.layers):
            block = f"blocks.{layer}"
            query, key, value = self.products(normed, f"{block}.attention.query", f"{block}.keys_values.key", f"{block}.keys_values.value")
            keys, values = self.keys_values(key, value, f"{block}.keys_values")
            mixed = self.attention(query, f"{block}.attention", "content_positions", keys, values, mask)
            normed, x = self.added(x, mixed, f"{block}.feed_forward_norm")
            following = f"blocks.{layer + 1}.attention_norm" if layer + 1 < config.layers else "head.content_norm"
            normed, x = self.added(x, self.feed_forward(normed, f"{block}.feed_forward"), following)
        key, value = self.products(normed, "head.keys_values.key", "head.keys_values.value")
        self.logits(self.head(x, *self.keys_values(key, value, "head.keys_values")))
        model = self.model("as_arm_on_device", self.inputs(), self.outputs())
        model.opset_import.append(_CONTRIBUTED)
        return model

    def head(self, x: str, keys: str, values: str) -> str:
        """The slot head: trunk rows to normalised states of the slots."""
        module = self.as_arm.head
        steps = module.steps.numpy()
        offsets = np.arange(1 - self.longest, self.longest)
        reached = (np.abs(offsets)[:, None] >= steps).sum(axis=-1)
        bucket = self.op("Gather", self.constant("buckets", np.sign(offsets) * reached + len(steps)), "slot_offsets")
        offset = self.op("Gather", self.weight("head.offset.weight"), bucket)
        normed, y = self.added(self.op("Gather", x, "slot_sources", axis=1), offset, "head.attention_norm")
        (query,) = self.products(normed, "head.attention.query")
        mixed = self.attention(query, "head.attention", "slot_targets", keys, values, self.mask("slot_keys"))
        normed, y = self.added(y, mixed, "head.feed_forward_norm")
        fed = self.feed_forward(normed, "head.feed_forward")
        return self.as_float("states", lambda out: self.added(y, fed, "head.out_norm", out=out)[0])

    def added(self, x: str, y: str, norm: str, out: str | None = None) -> tuple[str, str]:
        """The sum of two, normalised, and the sum itself."""
        names = [out or f"Normed_{len(self.nodes)}", "", "", f"Sum_{len(self.nodes)}"]
        weight = self.weight(f"{norm}.weight")
        normed, _, _, total = self.ops(
            "SkipSimplifiedLayerNormalization", (x, y, weight), names, domain=_CONTRIBUTED.domain, epsilon=EPSILON
        )
        return normed, total

    def mask(self, keys: str) -> str:
        """Keys `[R, 1]` to what is added to scores `[R, K]`, once for all layers."""
        seen = self.op("And", self.op("GreaterOrEqual", keys, "seen_from"), self.op("LessOrEqual", keys, "seen_to"))
        shown, hidden = self.constant("shown", self.type.type(0)), self.constant("hidden", self.type.type(_HIDDEN[self.type.name]))
        return self.op("Where", seen, shown, hidden)

    def keys_values(self, key: str, value: str, name: str) -> tuple[str, str]:
        """Products `[1, C, width]` to all keys and values, `[1, K, width]`."""
        return self.cached(self.rotated(key, f"{name}.key_norm", "content_positions")), self.cached(value)

    def cached(self, rows: str) -> str:
        past, new = f"past_{self.caches}", f"new_{self.caches}"
        self.caches += 1
        return self.op("ScatterND", past, "content_places", rows, out=new)

    def attention(self, query: str, name: str, positions: str, keys: str, values: str, mask: str) -> str:
        queries, heads = self.rotated(query, f"{name}.query_norm", positions), self.config.heads
        (out,) = self.products(self.op("Attention", queries, keys, values, mask, q_num_heads=heads, kv_num_heads=heads), f"{name}.out")
        return out

    def rotated(self, x: str, norm: str, positions: str) -> str:
        """Rows `[1, R, width]`, each head's part normalised and rotated to the row's position."""
        heads, size, width = self.config.heads, self.config.head_size, self.config.width
        apart = self.op("Reshape", x, self.constant("split", np.array([0, 0, heads, size])))
        flat = self.op("Reshape", self.norm(apart, norm), self.constant("flat", np.array([0, 0, width])))
        return self.op("RotaryEmbedding", flat, self.cosines, self.sines, positions, num_heads=heads)

    def inputs(self) -> list[onnx.ValueInfoProto]:
        value = helper.make_tensor_value_info
        return [
            value("content_ids", _INT, [1, "content"]),
            value("content_positions", _INT, [1, "content"]),
            value("content_places", _INT, [1, "content", 2]),
            value("content_keys", _INT, ["content", 1]),
            value("slot_sources", _INT, ["slots"]),
            value("slot_targets", _INT, [1, "slots"]),
            value("slot_offsets", _INT, [1, "slots"]),
            value("slot_keys", _INT, ["slots", 1]),
            value("seen_from", _INT, ["rows"]),
            value("seen_to", _INT, ["rows"]),
            *(self.cache(f"past_{index}") for index in range(self.caches)),
        ]

    def outputs(self) -> list[onnx.ValueInfoProto]:
        ends = [("logits", self.config.vocabulary), ("states", self.config.width)]
        read = [helper.make_tensor_value_info(name, _FLOAT, [1, "slots", size]) for name, size in ends]
        return [*read, *(self.cache(f"new_{index}") for index in range(self.caches))]

    def cache(self, name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(self.type), [1, "rows", self.config.width])
