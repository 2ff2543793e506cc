"""Requests that are Lacuna's own, for clients that know it: `docs/protocol.md` has them as a client sees them. One request a module."""
