"""Texts that the language server's tests open."""

from __future__ import annotations

HOLE = "___"

ONE_HOLE = '''"""Little sums."""


def total(items):
    result = 0
    for item in items:
        result += ___
    return result
'''

THREE_HOLES = '''"""Little statistics."""


def total(items):
    result = 0
    for item in items:
        result += ___
    return result


def mean(items):
    if not ___:
        return 0.0
    return total(items) / ___
'''

# A model this hot seldom ends a fill by itself: there is time to cancel it, edit beside it or overtake it.
ENDLESS = {"temperature": 10, "method": "sequential", "alternatives": 16, "maxTokens": 100}
