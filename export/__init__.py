"""The model workshop: corpus, tokenizer, AS-ARM, training, ONNX export. Needs the `export` extra (torch)."""
