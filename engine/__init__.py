"""Lacuna's runtime: fills holes in text with an any-subset autoregressive model. numpy, onnxruntime, tokenizers; no torch, no LSP."""
