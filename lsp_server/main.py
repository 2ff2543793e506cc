"""The command `lacuna-lsp`: the language server over stdio or TCP."""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from engine.devices import DEVICES
from engine.errors import LacunaError
from lsp_server.configuration import LOG_LEVELS, Layer

# A pass takes milliseconds.
SECONDS_TO_FINISH = 0.3


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
    parser.add_argument("--device", choices=DEVICES, help="what the model runs on, instead of the editor's setting")
    parser.add_argument(
        "--log-level", choices=LOG_LEVELS, help="what goes to stderr, instead of warnings, and to the editor, instead of its setting"
    )
    parser.add_argument("--version", action="version", version=f"lacuna-lsp {importlib.metadata.version('lacuna-lsp')}")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until the client leaves. Returns the exit code: 0 after a proper shutdown, 1 without, 2 for bad arguments."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.tcp and arguments.stdio:
        parser.error("--tcp and --stdio exclude each other")
    # What modules define is no garbage. To look through it again and again takes a fifth of the start, and would hold up answers later.
    gc.disable()
    from lsp_server.log import configure_logging
    from lsp_server.server import create_server
    from lsp_server.transport import serve_stdio, serve_tcp

    gc.freeze()
    gc.enable()
    configure_logging(arguments.log_level or "warning")
    flags = {"model": arguments.model, "device": arguments.device, "log_level": arguments.log_level}
    server = create_server(Layer("the command line", {name: value for name, value in flags.items() if value is not None}))
    try:
        if arguments.tcp:
            serve_tcp(server, *arguments.tcp)
        else:
            serve_stdio(server)
    except LacunaError as error:
        print(f"lacuna-lsp: {error}", file=sys.stderr)
        return 2
    finally:
        server.close()
    code = 0 if server.protocol.was_shut_down else 1
    _leave_behind_busy_threads(code)
    return code


def _leave_behind_busy_threads(code: int) -> None:
    """End at once where a thread is still at work: Python would wait for it, but a model that is being loaded can't be interrupted."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(timeout=SECONDS_TO_FINISH)
            if thread.is_alive():
                sys.stderr.flush()
                os._exit(code)
