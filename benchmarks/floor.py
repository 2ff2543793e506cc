"""The least that a pass can take on this machine: its bytes through memory, or its arithmetic, whichever takes longer.

Both rates are measured here and now: reading from a working set as large as the pass's own (which may lie in a cache or
not), and products of as many rows as the pass has, by the runtime's own kernels, of weights that stay in the core's cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from export.model import ModelConfig
from export.quantise import BLOCK, quantise

_WEIGHT_BYTES = {"float32": 4.0, "int8": 1 + 4 / BLOCK}  # a block of 8-bit weights has a float32 scale
PRECISIONS = tuple(_WEIGHT_BYTES)  # whose floor is known
_CACHE_BYTES = {"float32": 4, "int8": 2}
_INNER, _OUTER = 256, 704  # of a weight that stays in a core's own cache, in either precision
_PRODUCTS = 32


@dataclass(frozen=True)
class Work:
    """What a pass must read and compute: bytes of weights and of kept rows, operations of products with weights and of
    attention's (always float32)."""

    bytes: float
    products: float
    attention: float

    def milliseconds(self, bytes_per_s: float, products_per_s: float, attention_per_s: float) -> float:
        """The longer of reading and computing, which can go on at once."""
        return 1000 * max(self.bytes / bytes_per_s, self.products / products_per_s + self.attention / attention_per_s)


def work_of(config: ModelConfig, precision: str, content: int, slots: int, past: int) -> Work:
    """The work of a pass for one context of `past` kept rows."""
    square, feed_forward = config.width**2, 3 * config.width * config.hidden
    block = 4 * square + feed_forward
    content_weights = config.layers * block + 2 * square  # the slot head's keys and values are of content rows
    slot_weights = 2 * square + feed_forward + config.vocabulary * config.width
    attended = 2 * 2 * config.width * (past + content)  # scores, and the mixture of values
    return Work(
        bytes=(content_weights + slot_weights) * _WEIGHT_BYTES[precision]
        + 2 * (config.layers + 1) * past * config.width * _CACHE_BYTES[precision],
        products=2.0 * (content * content_weights + slots * slot_weights),
        attention=float(attended * (config.layers * content + slots)),
    )


def reading(work: Work) -> Callable[[], object]:
    """Reads as many bytes as the pass has to."""
    held = np.ones(int(work.bytes) // 4, dtype=np.float32)
    return held.max


def multiplying(rows: int, precision: str) -> tuple[Callable[[], object], float]:
    """Products of so many rows with a weight that is at hand, on one thread, and how many operations they are."""
    rng = np.random.default_rng(0)
    weight = numpy_helper.from_array(rng.normal(size=(_INNER, _OUTER)).astype(np.float32), "weight")
    made = [f"made_{index}" for index in range(_PRODUCTS)]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["rows", "weight"], [name]) for name in made],
        "products",
        [value("rows", onnx.TensorProto.FLOAT, ["rows", _INNER])],
        [value(name, onnx.TensorProto.FLOAT, ["rows", _OUTER]) for name in made],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=11)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # it would make all products one
    serialised = (quantise(model) if precision == "int8" else model).SerializeToString()
    session = onnxruntime.InferenceSession(serialised, options, providers=["CPUExecutionProvider"])
    inputs = {"rows": rng.normal(size=(rows, _INNER)).astype(np.float32)}
    return lambda: session.run(None, inputs), 2.0 * _PRODUCTS * rows * _INNER * _OUTER
