"""A graph on disk: made ready to be stored, with its weights in a file of their own where one message can't hold them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from engine.manifest import FileEntry, sha256_of

# A protobuf message has 2 GiB at most; beyond this, what is left for the rest of the graph is no longer safe.
LARGEST_GRAPH = 2**31 - 2**27
_STORED_AS_HALF = 1024  # tensors of at least so many numbers
_MOVED = 1024  # bytes; smaller tensors stay in the graph
_ALIGNMENT = 4096  # of each tensor in a file of weights, so that it can be mapped to memory


def stored_as_half(proto: onnx.ModelProto, only: Collection[str] | None = None) -> onnx.ModelProto:
    """The graph with large float32 tensors (those named in `only`) as float16 with a Cast each.

    ONNX Runtime folds the Casts when it loads the graph. `proto` stays as it is.
    """
    stored = onnx.ModelProto()
    stored.CopyFrom(proto)
    graph = stored.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or np.prod(tensor.dims) < _STORED_AS_HALF:
            continue
        if only is not None and tensor.name not in only:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], name=f"{name}.cast", to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return stored


def write_graph(graph: onnx.ModelProto, path: Path) -> FileEntry:
    """Check the graph and write it, the same graph always as the same bytes. Its large tensors go to `PATH.data` where it is larger
    than `LARGEST_GRAPH`, and `graph` loses them then. Raises OSError."""
    data = None
    if sum(len(tensor.raw_data) for tensor in graph.graph.initializer) > LARGEST_GRAPH:
        data = path.with_name(f"{path.name}.data")
        _move_weights(graph, data)
    path.write_bytes(graph.SerializeToString(deterministic=True))
    onnx.checker.check_model(str(path))
    return FileEntry(path.name, sha256_of(path), None if data is None else FileEntry(data.name, sha256_of(data)))


def _move_weights(graph: onnx.ModelProto, data: Path) -> None:
    """From the graph's large tensors to the file, which the graph then names."""
    with data.open("wb") as stream:
        for tensor in graph.graph.initializer:
            if len(tensor.raw_data) < _MOVED:
                continue
            stream.write(bytes(-stream.tell() % _ALIGNMENT))
            place = {"location": data.name, "offset": stream.tell(), "length": len(tensor.raw_data)}
            stream.write(tensor.raw_data)
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key, value in place.items():
                tensor.external_data.add(key=key, value=str(value))
