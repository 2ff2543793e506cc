"""ONNX graphs written op by op: what the graphs of an AS-ARM and of its draft head share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

OPSET = 23
EPSILON = 1e-6  # of all norms
_IR = 11


class GraphBuilder:
    """A graph that grows op by op; `weights` are matrices as torch has them, `[out, in]`, and norms, by name. It computes in their type."""

    def __init__(self, weights: Mapping[str, NDArray[np.floating[Any]]]) -> None:
        self.weights = weights
        self.type = next(iter(weights.values())).dtype
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def model(self, name: str, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, name, inputs, outputs, list(self.constants.values()))
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR)

    def embedded(self, ids: str, width: int) -> str:
        """Tokens to normalised embeddings."""
        x = self.op("Gather", self.weight("embedding.weight"), ids)
        return self.op("RMSNormalization", x, self.constant("ones", np.ones(width, self.type)), axis=-1, epsilon=EPSILON)

    def logits(self, states: str) -> None:
        """States to the graph's output `logits`."""
        output = "output.weight" if "output.weight" in self.weights else "embedding.weight"
        # Transposed when the graph is loaded: a tied matrix is then stored once.
        matrix = self.op("Transpose", self.weight(output), perm=[1, 0])
        self.as_float("logits", lambda out: self.op("MatMul", states, matrix, out=out))

    def as_float(self, name: str, compute: Callable[[str | None], str]) -> str:
        """Let `compute` make a value under the name that it is given (None: any), and `name` be that value in float32."""
        if self.type == np.float32:
            return compute(name)
        made = compute(None)
        self.op("Cast", made, out=name, to=onnx.TensorProto.FLOAT)
        return made

    def feed_forward(self, x: str, name: str) -> str:
        # Side by side they would need a Split, which costs what the second product does.
        (gate,), (up,) = self.products(x, f"{name}.gate"), self.products(x, f"{name}.up")
        gated = self.op("Mul", gate, self.op("Sigmoid", gate))  # ONNX Runtime makes one op of the two
        (out,) = self.products(self.op("Mul", gated, up), f"{name}.down")
        return out

    def norm(self, x: str, name: str, out: str | None = None) -> str:
        return self.op("RMSNormalization", x, self.weight(f"{name}.weight"), out=out, axis=-1, epsilon=EPSILON)

    def products(self, x: str, *names: str) -> tuple[str, ...]:
        """What the linear maps make of `x`, by one product."""
        matrices = [self.weights[f"{name}.weight"] for name in names]
        together = self.op("MatMul", x, self.constant("+".join(f"{name}.weight" for name in names), np.concatenate(matrices).T))
        if len(names) == 1:
            return (together,)
        sizes = self.constant(f"split_{len(names)}", np.array([len(each) for each in matrices]))
        return self.ops("Split", (together, sizes), [f"Split_{len(self.nodes)}_{index}" for index in range(len(names))], axis=-1)

    def weight(self, name: str) -> str:
        return self.constant(name, self.weights[name])

    def constant(self, name: str, value: NDArray[Any] | np.floating[Any]) -> str:
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value).reshape(np.shape(value)), name)
        return name

    def op(self, kind: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        return self.ops(kind, inputs, [out or f"{kind}_{len(self.nodes)}"], **attributes)[0]

    def ops(self, kind: str, inputs: tuple[str, ...], outputs: list[str], **attributes: Any) -> tuple[str, ...]:
        """Append a node of any number of outputs."""
        self.nodes.append(helper.make_node(kind, inputs, outputs, f"{kind}_{len(self.nodes)}", **attributes))
        return tuple(outputs)
