"""The written settings are those of the program."""

from __future__ import annotations

import json

from docs.settings_page import PAGE, PROPERTIES, page, properties

STALE = "run python docs/settings_page.py"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), STALE


def test_the_editor_s_properties_are_up_to_date() -> None:
    assert json.loads(PROPERTIES.read_text(encoding="utf-8")) == properties(), STALE


def test_an_editor_that_sends_its_defaults_sets_nothing() -> None:
    assert all(found["default"] is None and "null" in str(found["type"]) for found in properties().values())
