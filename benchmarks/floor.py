"""The least that a pass can take on this machine: its bytes through memory, or its arithmetic, whichever takes longer.

Both rates are measured here and now: reading from a working set as large as the pass's own (which may lie in a cache or
not), and products of as many rows as the pass has, by the runtime's own kernels, of weights that stay in the core's cache.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from benchmarks.pass_shape import Work
from export.quantise import quantise

PRECISIONS = ("float32", "int8")  # whose products are measured
_INNER, _OUTER = 256, 704  # of a weight that stays in a core's own cache, in either precision
_PRODUCTS = 32


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
