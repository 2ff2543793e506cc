"""The command `lacuna`: fill holes, score code and check the installation, from a terminal."""

from lsp_server.cli.command import main

__all__ = ["main"]
