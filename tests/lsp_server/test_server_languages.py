"""Every language over stdio. The model was taught Python alone: what it writes must be sound, not clever."""

from __future__ import annotations

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from lsp_server.syntax import count_errors, parse
from tests.lsp_server.language_client import Editor, EditorDocument, editor

SURE = {"temperature": 0.4, "alternatives": 4, "maxTokens": 16}

# A function that lacks its result, and a comment with a marker that is no hole.
FILES = {
    "python": ("a.py", "# ___\ndef total(first, second):\n    if first > second:\n        return first\n    return ___\n"),
    "javascript": (
        "a.js",
        "// ___\nfunction total(first, second) {\n  if (first > second) {\n    return first;\n  }\n  return ___;\n}\n",
    ),
    "javascriptreact": ("a.jsx", "// ___\nfunction Total({ first, second }) {\n  return <b>{first} {___}</b>;\n}\n"),
    "typescript": ("a.ts", "// ___\nfunction total(first: number, second: number): number {\n  return first + ___;\n}\n"),
    "typescriptreact": ("a.tsx", "// ___\nfunction Total({ first }: { first: string }) {\n  return <b>{___}</b>;\n}\n"),
    "go": ("a.go", "package p\n\n// ___\nfunc total(first int, second int) int {\n\treturn first + ___\n}\n"),
    "rust": ("a.rs", "// ___\nfn total(first: i32, second: i32) -> i32 {\n    first + ___\n}\n"),
    "java": ("A.java", "// ___\nclass A {\n    int total(int first, int second) {\n        return first + ___;\n    }\n}\n"),
    "c": ("a.c", "/* ___ */\nint total(int first, int second)\n{\n\treturn first + ___;\n}\n"),
    "cpp": ("a.cpp", "// ___\nint total(int first, int second) {\n  return first + ___;\n}\n"),
    "klingon": ("a.kl", "qatlh = ___\n"),
}


def errors_in(text: str, language: str) -> int:
    tree = parse(text.encode(), language)
    return 0 if tree is None else count_errors(tree)


async def filled(ed: Editor, document: EditorDocument, action: types.CodeAction) -> bool:
    """Whether there was a fill, which is applied; if there was none, the reason was told."""
    try:
        resolved = await ed.resolve(action)
    except JsonRpcException as refusal:
        assert refusal.code == types.LSPErrorCodes.RequestFailed
        assert "no fill was good enough to show" in refusal.message
        return False
    assert resolved.edit is not None
    ed.apply(resolved.edit)
    return True


@pytest.mark.parametrize("language", FILES)
async def test_a_hole_and_a_selection(language: str) -> None:
    newline = "\r\n" if language in ("c", "java", "typescriptreact") else "\n"
    name, text = FILES[language][0], FILES[language][1].replace("\n", newline)
    before, after = text.rsplit("___", 1)
    async with editor(settings=SURE) as ed:
        document = ed.open(text, f"file:///project/{name}", language)
        await ed.until_ready()
        listed = [action.title for action in await ed.actions(document, len(before))]
        assert "Fill this hole" in listed
        assert not any(title.startswith("Fill all") for title in listed), "the marker in the comment is no hole"
        assert await ed.hover(document, len(before) + 1) is not None
        if await filled(ed, document, await ed.action(document, "Fill this hole", len(before))):
            assert document.text.startswith(before) and document.text.endswith(after)
            fill = document.text[len(before) : len(document.text) - len(after)]
            assert fill.strip() and "___" not in fill
            assert errors_in(document.text, language) == 0
            assert newline == "\n" or "\n" not in document.text.replace("\r\n", "")
        start = document.text.index(newline) - 2
        await filled(ed, document, await ed.action(document, "Rewrite the selection", start, start + 2))
