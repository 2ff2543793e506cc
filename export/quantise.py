"""An 8-bit graph from the float32 one.

Weights become int8, and what meets them is rounded to 8 bits as the pass runs, in one of two ways:

* products of normalised rows (queries, keys, values and the gates of feed-forward): one scale for all rows of a pass,
  one for each column of the weights. The fastest way, and rows that were just normalised are near in size;
* all other products: a scale for each block of `BLOCK` numbers, of rows and weights alike. The input of a feed-forward's
  second half and of attention's last map has outliers, which would leave few steps of a common scale to the rest, and
  logits are what everything else is for.

By the common scale the rows of a pass touch each other's rounding, and rounding makes small differences larger: unlike in
float32, the likelihood of a fill comes out a little different by one pass than by the passes that drew it.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

BLOCK = 64
_ZERO = 128  # what MatMulNBits takes for 0 where it is told nothing else
_LARGEST = 127
_INT8_ARITHMETIC = 4  # MatMulNBits' accuracy_level
_CONTRIBUTED = helper.make_opsetid("com.microsoft", 1)


def quantise(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with 8-bit products, from one whose weights are float32 initialisers. Embeddings stay as they are."""
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    _fold_transposed_weights(whole.graph)
    _quantise_by_block(whole)
    return _quantise_by_row_and_column(whole)


def _fold_transposed_weights(graph: onnx.GraphProto) -> None:
    """Make each transposed weight (a tied output matrix) a weight itself, which a quantiser can see."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for node in list(graph.node):
        if node.op_type == "Transpose" and node.input[0] in weights:
            order = next((list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"), None)
            transposed = np.ascontiguousarray(np.transpose(numpy_helper.to_array(weights[node.input[0]]), order))
            graph.initializer.append(numpy_helper.from_array(transposed, node.output[0]))
            graph.node.remove(node)
    _drop_unused(graph)


def _quantise_by_block(model: onnx.ModelProto) -> None:
    """Replace each product with a weight by MatMulNBits, but for those of normalised rows that are not the logits."""
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    normalised = {node.output[0] for node in graph.node if node.op_type == "RMSNormalization"}
    logits = graph.output[0].name
    for index, node in enumerate(graph.node):
        if node.op_type != "MatMul" or node.input[1] not in weights:
            continue
        if node.input[0] in normalised and node.output[0] != logits:
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
    _drop_unused(graph)


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


def _quantise_by_row_and_column(model: onnx.ModelProto) -> onnx.ModelProto:
    """Products that are still MatMuls with a weight, by ONNX Runtime's own dynamic quantiser."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "quantised.onnx"
        root = logging.getLogger()
        level = root.level
        root.setLevel(logging.ERROR)  # it advises, through the root logger, to optimise the graph first, which was done
        try:
            quantize_dynamic(
                model,
                out,
                op_types_to_quantize=["MatMul"],
                per_channel=True,
                # 7 bits: on x86 processors without VNNI the sum of two products of 8 bits overflows, and silently.
                reduce_range=True,
                weight_type=QuantType.QInt8,
            )
        finally:
            root.setLevel(level)
        return onnx.load(out)


def _drop_unused(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
