"""The command `lacuna-lsp`: the language server over stdio or TCP."""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.errors import LacunaError
from lsp_server.configuration import LOG_LEVELS, Layer
from lsp_server.language_server import LacunaServer
from lsp_server.log import configure_logging
from lsp_server.server import create_server


def tcp_address(text: str) -> tuple[str, int]:
    """HOST:PORT, with an IPv6 host in brackets. Raises ArgumentTypeError."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (host and colon and port.isascii() and port.isdigit() and int(port) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT, such as 127.0.0.1:2087")
    return host, int(port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lacuna-lsp",
        description="Language server that fills holes in code. It speaks the language server protocol over stdin and stdout, "
        "is started by an editor, and never uses the network (--tcp listens for one editor).",
    )
    parser.add_argument("--tcp", metavar="HOST:PORT", type=tcp_address, help="wait for one client at this address instead of stdio")
    parser.add_argument("--stdio", action="store_true", help="speak over stdin and stdout; the default, accepted because editors pass it")
    parser.add_argument("--model", metavar="DIR", type=Path, help="model folder, instead of the editor's setting or the bundled model")
    parser.add_argument("--log-level", choices=LOG_LEVELS, default="warning", help="what goes to stderr (default: %(default)s)")
    parser.add_argument("--version", action="version", version=f"lacuna-lsp {importlib.metadata.version('lacuna-lsp')}")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until the client leaves. Returns the exit code: 0 after a proper shutdown, 1 without, 2 for bad arguments."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.tcp and arguments.stdio:
        parser.error("--tcp and --stdio exclude each other")
    configure_logging(arguments.log_level)
    server = create_server(Layer("the command line", {"model": arguments.model} if arguments.model else {}))
    try:
        if arguments.tcp:
            _serve_tcp(server, *arguments.tcp)
        else:
            server.start_io()
    except LacunaError as error:
        print(f"lacuna-lsp: {error}", file=sys.stderr)
        return 2
    finally:
        server.inference.close()
    return 0 if server.protocol.was_shut_down else 1


def _serve_tcp(server: LacunaServer, host: str, port: int) -> None:
    try:
        server.start_tcp(host, port)
    except OSError as error:
        raise LacunaError(f"can't listen at {host}:{port}: {error.strerror or error}") from error
    except (KeyboardInterrupt, SystemExit):
        # So pygls ends a TCP session; of one over stdio it catches both itself.
        return
