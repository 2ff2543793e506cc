"""The editor's side: language server and command line over the engine."""
