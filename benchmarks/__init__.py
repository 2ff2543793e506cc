"""One script a figure: `python -m benchmarks.passes`, `.decoders`, `.cache`; each has --help and --quick."""
