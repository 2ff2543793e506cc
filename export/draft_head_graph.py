"""The draft head as an ONNX graph, op by op: what `export.draft_head_model.DraftStep` says."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from export.draft_head_model import DraftHead
from export.graph_builder import GraphBuilder
from export.model import AsArm

_FLOAT, _INT = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


def draft_head_to_onnx(model: AsArm, head: DraftHead, *, half: bool = False) -> onnx.ModelProto:
    """States `[N, width]` and tokens `ids` `[N]` to `next_states` `[N, width]` and `logits` `[N, V]`, all float32; with `half` weights and
    arithmetic are float16."""
    config = model.config
    weights = {**dict(model.named_parameters()), **{f"draft_head.{name}": each for name, each in head.named_parameters()}}
    build = GraphBuilder({name: each.detach().numpy().astype(np.float16 if half else np.float32) for name, each in weights.items()})
    states = build.op("Cast", "states", to=onnx.TensorProto.FLOAT16) if half else "states"
    together = build.op("Concat", states, build.embedded("ids", config.width), axis=-1)
    (x,) = build.products(together, "draft_head.mix")
    x = build.op("Add", x, build.feed_forward(build.norm(x, "draft_head.feed_forward_norm"), "draft_head.feed_forward"))
    build.logits(build.as_float("next_states", lambda out: build.norm(x, "draft_head.out_norm", out=out)))
    value = helper.make_tensor_value_info
    inputs = [value("states", _FLOAT, ["rows", config.width]), value("ids", _INT, ["rows"])]
    outputs = [value("next_states", _FLOAT, ["rows", config.width]), value("logits", _FLOAT, ["rows", config.vocabulary])]
    return build.model("draft_head", inputs, outputs)
