"""Logging of the language server: to the editor by `window/logMessage` and to stderr, for stdout carries the protocol.

A record is one line: an event in words, then `key=value` fields, among them the request that it belongs to.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable
from json import JSONDecodeError

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from lsp_server.request_log import current_request

# What is logged by this name and below is for the editor too.
LOGGER = "lsp_server"

_KINDS = (
    (logging.ERROR, types.MessageType.Error),
    (logging.WARNING, types.MessageType.Warning),
    (logging.INFO, types.MessageType.Info),
    (logging.DEBUG, types.MessageType.Log),
)


def line(event: str, **fields: object) -> str:
    """One line of the log: None fields are left out, texts with blanks or quotes in them are quoted, and the current request is named."""
    request = current_request()
    if request is not None:
        fields = {"request": request.id, **fields}
    shown = (f"{name}={_value(value)}" for name, value in fields.items() if value is not None)
    return " ".join((_one_line(event), *shown))


def _value(value: object) -> str:
    text = str(value)
    return text if text and text.isprintable() and not set(text) & {" ", '"', "="} else json.dumps(text, ensure_ascii=False)


def _one_line(text: str) -> str:
    return text if text.isprintable() else "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


class EditorHandler(logging.Handler):
    """Hands records on to `send`, in the event loop's thread whichever thread they come from."""

    def __init__(self, send: Callable[[types.LogMessageParams], None]) -> None:
        super().__init__()
        self._send = send
        self._loop: asyncio.AbstractEventLoop | None = None

    def emit(self, record: logging.LogRecord) -> None:
        kind = next((kind for level, kind in _KINDS if record.levelno >= level), types.MessageType.Log)
        params = types.LogMessageParams(kind, record.getMessage())
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            # Another thread. Without a loop there is no session yet, or no more.
            if self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._send, params)
            return
        self._send(params)


def configure_logging(level: str) -> None:
    """Send every log record of `level` (one of LOG_LEVELS) and above to stderr.

    pygls logs the full text of every message at INFO; it is let through only at the level `debug`, so that a user's
    code doesn't land in an editor's log by default.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S"))
    handler.addFilter(_is_not_on_purpose)
    handler.setLevel(level.upper())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    if level != "debug":
        logging.getLogger("pygls").setLevel(logging.WARNING)
    # Its debug records tell which selector it uses, and no more.
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def log_to_editor(handler: EditorHandler, level: str) -> None:
    """Send Lacuna's own records of `level` and above to the editor too. May be called again with another level."""
    handler.setLevel(level.upper())
    logger = logging.getLogger(LOGGER)
    # Handlers drop what is below their own level; what no handler wants shouldn't be made.
    logger.setLevel(min([handler.level, *(other.level for other in logging.getLogger().handlers)]))
    if handler not in logger.handlers:
        logger.addHandler(handler)


def _is_not_on_purpose(record: logging.LogRecord) -> bool:
    """pygls logs a traceback for each error that a handler answers on purpose, such as a cancelled or stale request, and for each
    message that it can't read or, the client being gone, send; asyncio one for the SystemExit by which pygls ends a TCP session."""
    if str(record.msg).startswith("Unable to deserialize message"):
        return False
    return not (
        record.exc_info and isinstance(record.exc_info[1], (JsonRpcException, JSONDecodeError, RecursionError, ConnectionError, SystemExit))
    )
