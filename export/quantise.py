"""An 8-bit graph from the float32 one.

Weights become int8 with a scale for each block of `BLOCK` numbers of a column, and the rows that meet them are rounded
likewise as the pass runs: each row by itself, so that rows of a pass do not touch each other's rounding. Blocks, because
the input of a feed-forward's second half and of attention's last map has outliers, which would leave few steps of a common
scale to the rest.

A row comes out bit for bit the same from most passes. But where another number of keys changes the last bit of a sum, some
number may round to the next step, and rounding then makes the small difference larger: unlike in float32, the likelihood
of a fill comes out a little different by one pass than by the passes that drew it.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

BLOCK = 64
_ZERO = 128  # what MatMulNBits takes for 0 where it is told nothing else
_LARGEST = 127
_INT8_ARITHMETIC = 4  # MatMulNBits' accuracy_level
_CONTRIBUTED = helper.make_opsetid("com.microsoft", 1)


def quantise(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with 8-bit products, from one whose weights are float32 initialisers. Embeddings stay as they are."""
    quantised = onnx.ModelProto()
    quantised.CopyFrom(model)
    _fold_transposed_weights(quantised.graph)
    _quantise_products(quantised)
    _drop_unused(quantised.graph)
    return quantised


def _fold_transposed_weights(graph: onnx.GraphProto) -> None:
    """Make each transposed weight (a tied output matrix) a weight itself, which a quantiser can see."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for node in list(graph.node):
        if node.op_type == "Transpose" and node.input[0] in weights:
            order = next((list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"), None)
            transposed = np.ascontiguousarray(np.transpose(numpy_helper.to_array(weights[node.input[0]]), order))
            graph.initializer.append(numpy_helper.from_array(transposed, node.output[0]))
            graph.node.remove(node)


def _quantise_products(model: onnx.ModelProto) -> None:
    """Replace each product with a weight by MatMulNBits."""
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for index, node in enumerate(graph.node):
        if node.op_type != "MatMul" or node.input[1] not in weights:
            continue
        rows, name = node.input
        weight = numpy_helper.to_array(weights[name])
        blocks, scales = blockwise(weight)
        graph.initializer.append(numpy_helper.from_array(blocks, f"{name}.blocks"))
        graph.initializer.append(numpy_helper.from_array(scales, f"{name}.scales"))
        inner, outer = weight.shape
        graph.node[index].CopyFrom(
            helper.make_node(
                "MatMulNBits",
                [rows, f"{name}.blocks", f"{name}.scales"],
                list(node.output),
                name=node.name,
                domain=_CONTRIBUTED.domain,
                K=inner,
                N=outer,
                bits=8,
                block_size=BLOCK,
                accuracy_level=_INT8_ARITHMETIC,
            )
        )
    model.opset_import.append(_CONTRIBUTED)


def blockwise(weight: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A weight `[K, N]` as MatMulNBits keeps it: uint8 `[N, blocks, BLOCK]` around 128, and scales `[N * blocks]`."""
    inner, outer = weight.shape
    blocks = -(-inner // BLOCK)
    padded = np.zeros((outer, blocks * BLOCK), dtype=np.float32)
    padded[:, :inner] = weight.T
    parts = padded.reshape(outer, blocks, BLOCK)
    scales = np.abs(parts).max(axis=-1) / np.float32(_LARGEST)
    scales[scales == 0] = 1
    steps = np.rint(parts / scales[..., None]) + _ZERO
    return steps.astype(np.uint8), scales.reshape(-1)


def _drop_unused(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
