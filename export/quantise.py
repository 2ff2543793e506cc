"""Graphs with 8-bit or 4-bit weights from the float32 one.

Weights become whole numbers with a scale for each block of a column, and the rows that meet them are rounded to 8 bits
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
from tqdm import tqdm

BLOCK = 64  # of 8-bit weights
BLOCK_4 = 32  # of 4-bit weights, which have few steps to share
_ZERO = 128  # what MatMulNBits takes for 0 where it is told nothing else
_LARGEST = 127
_ZERO_4 = 8
# A block's number of the largest magnitude becomes one of these many steps, of the side where it lies: what leaves the least
# squared error. Beyond the 8 and 7 steps there are, that number is cut and the rest gets finer steps.
_TRIED_STEPS_4 = np.concatenate([np.arange(-9, -5.5, 0.25), np.arange(6, 9, 0.25)]).astype(np.float32)
_INT8_ARITHMETIC = 4  # MatMulNBits' accuracy_level
_CONTRIBUTED = helper.make_opsetid("com.microsoft", 1)


def quantise(model: onnx.ModelProto, bits: int = 8) -> onnx.ModelProto:
    """The graph with products of `bits` (8 or 4) bits, from one whose weights are float32 initialisers.

    Embeddings stay as they are. Logits are read by 8 bits in either: with 4 there too, the default model would lose half as much
    again in bits per byte (`docs/model.md`).
    """
    quantised = onnx.ModelProto()
    quantised.CopyFrom(model)
    _fold_transposed_weights(quantised.graph)
    _quantise_products(quantised, bits)
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


def _quantise_products(model: onnx.ModelProto, bits: int) -> None:
    """Replace each product with a weight by MatMulNBits."""
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    products = [index for index, node in enumerate(graph.node) if node.op_type == "MatMul" and node.input[1] in weights]
    for index in tqdm(products, desc=f"weights in {bits} bits", unit="weight", leave=False, delay=1):
        node = graph.node[index]
        rows, name = node.input
        weight = numpy_helper.to_array(weights[name])
        own = 8 if node.output[0] == "logits" else bits
        block, cut = (BLOCK, blockwise) if own == 8 else (BLOCK_4, blockwise_4)
        blocks, scales = cut(weight)
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
                bits=own,
                block_size=block,
                accuracy_level=_INT8_ARITHMETIC,
            )
        )
    model.opset_import.append(_CONTRIBUTED)


def blockwise(weight: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A weight `[K, N]` as MatMulNBits keeps 8 bits: uint8 `[N, blocks, BLOCK]` around 128, and scales `[N * blocks]`."""
    parts = _parts(weight, BLOCK)
    scales = np.abs(parts).max(axis=-1) / np.float32(_LARGEST)
    scales[scales == 0] = 1
    steps = np.rint(parts / scales[..., None]) + _ZERO
    return steps.astype(np.uint8), scales.reshape(-1)


def from_blocks(blocks: NDArray[np.uint8], scales: NDArray[np.float32]) -> NDArray[np.float32]:
    """What `blockwise` made of a weight `[K, N]`, as `[N, K]` as torch has it; K is filled up to whole blocks."""
    steps = blocks.astype(np.float32) - np.float32(_ZERO)
    return (steps * scales.reshape(*blocks.shape[:2], 1)).reshape(len(blocks), -1)


def blockwise_4(weight: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A weight `[K, N]` as MatMulNBits keeps 4 bits: uint8 `[N, blocks, BLOCK_4 / 2]`, the first of two numbers in the lower half of
    a byte, each around 8; and scales `[N * blocks]`."""
    parts = _parts(weight, BLOCK_4)
    furthest = np.take_along_axis(parts, np.abs(parts).argmax(axis=-1)[..., None], axis=-1)[..., 0]
    furthest[furthest == 0] = 1
    scales, least = np.ones_like(furthest), np.full(furthest.shape, np.inf, dtype=np.float32)
    for tried in furthest / _TRIED_STEPS_4[:, None, None]:
        error = np.square(_steps_4(parts, tried) * tried[..., None] - parts).sum(axis=-1)
        better = error < least
        scales, least = np.where(better, tried, scales), np.where(better, error, least)
    steps = (_steps_4(parts, scales) + _ZERO_4).astype(np.uint8)
    return np.bitwise_or(steps[..., ::2], np.left_shift(steps[..., 1::2], 4), dtype=np.uint8), scales.reshape(-1)


def _steps_4(parts: NDArray[np.float32], scales: NDArray[np.float32]) -> NDArray[np.float32]:
    steps: NDArray[np.float32] = np.clip(np.rint(parts / scales[..., None]), -_ZERO_4, _ZERO_4 - 1)
    return steps


def _parts(weight: NDArray[np.float32], block: int) -> NDArray[np.float32]:
    """A weight `[K, N]` as `[N, blocks, block]`, filled up with zeros."""
    inner, outer = weight.shape
    blocks = -(-inner // block)
    padded = np.zeros((outer, blocks * block), dtype=np.float32)
    padded[:, :inner] = weight.T
    return padded.reshape(outer, blocks, block)


def _drop_unused(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
