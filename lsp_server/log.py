"""Logging of the language server: to stderr only, since stdout carries the protocol."""

from __future__ import annotations

import logging
import sys

from pygls.exceptions import JsonRpcException


def configure_logging(level: str) -> None:
    """Send every log record of `level` (one of LOG_LEVELS) and above to stderr.

    pygls logs the full text of every message at INFO; it is let through only at the level `debug`, so that a user's
    code doesn't land in an editor's log by default.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S"))
    handler.addFilter(_is_not_on_purpose)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    if level != "debug":
        logging.getLogger("pygls").setLevel(logging.WARNING)
    # Its debug records tell which selector it uses, and no more.
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def _is_not_on_purpose(record: logging.LogRecord) -> bool:
    """pygls logs a traceback for each error that a handler answers on purpose, such as a cancelled or stale request, and
    asyncio one for the SystemExit by which pygls ends a TCP session."""
    return not (record.exc_info and isinstance(record.exc_info[1], (JsonRpcException, SystemExit)))
