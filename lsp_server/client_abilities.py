"""What the editor at the other end can do, read once from its capabilities."""

from __future__ import annotations

from dataclasses import dataclass

from lsprotocol import types


@dataclass(frozen=True)
class ClientAbilities:
    """The abilities that change what Lacuna sends. All are False for a client that says nothing.

    `action_literals`: takes `CodeAction` objects, not only bare commands. `resolves_edits`: asks for an action's edit by
    `codeAction/resolve` and keeps `data` until then. `disabled_actions`: shows actions that can't be had, with the reason.
    `document_changes`: takes versioned edits. `progress`: lets the server open progress reports. `markdown`: shows Markdown
    in hovers. `pulls_configuration`: answers `workspace/configuration`. `inline_completion`: shows text at the cursor
    before it is typed.
    """

    action_literals: bool = False
    resolves_edits: bool = False
    disabled_actions: bool = False
    document_changes: bool = False
    progress: bool = False
    markdown: bool = False
    pulls_configuration: bool = False
    inline_completion: bool = False

    @classmethod
    def of(cls, capabilities: types.ClientCapabilities) -> ClientAbilities:
        """Read the capabilities that `initialize` brought."""
        document, workspace, window = capabilities.text_document, capabilities.workspace, capabilities.window
        action = document.code_action if document else None
        hover = document.hover if document else None
        resolve = action.resolve_support if action else None
        edits = workspace.workspace_edit if workspace else None
        return cls(
            action_literals=bool(action and action.code_action_literal_support),
            resolves_edits=bool(action and action.data_support and resolve and "edit" in resolve.properties),
            disabled_actions=bool(action and action.disabled_support),
            document_changes=bool(edits and edits.document_changes),
            progress=bool(window and window.work_done_progress),
            markdown=bool(hover and hover.content_format and types.MarkupKind.Markdown in hover.content_format),
            pulls_configuration=bool(workspace and workspace.configuration),
            inline_completion=bool(document and document.inline_completion),
        )
