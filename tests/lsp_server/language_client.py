"""A headless editor for tests: it starts the real `lacuna-lsp`, keeps texts as an editor would, and remembers what it was told."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, Union

import cattrs
from lsprotocol import types
from pygls.lsp.client import LanguageClient
from pygls.protocol import default_converter

from lsp_server.configuration import camel_case
from lsp_server.status import STATUS, Status

SERVER = str(Path(sys.executable).with_name("lacuna-lsp"))
# Far longer than anything takes: only a hang gets there.
PATIENCE = 60.0

_WIDTHS = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}


def capabilities(
    *,
    resolve: bool = True,
    literals: bool = True,
    versioned: bool = True,
    progress: bool = True,
    configuration: bool = False,
    status: bool = False,
    encodings: Sequence[str] | None = None,
) -> types.ClientCapabilities:
    """What an able editor says of itself; each argument takes an ability away."""
    kinds = types.ClientCodeActionKindOptions([types.CodeActionKind.QuickFix, types.CodeActionKind.Refactor])
    action = types.CodeActionClientCapabilities(
        code_action_literal_support=types.ClientCodeActionLiteralOptions(kinds) if literals else None,
        data_support=resolve or None,
        resolve_support=types.ClientCodeActionResolveOptions(["edit"]) if resolve else None,
    )
    return types.ClientCapabilities(
        text_document=types.TextDocumentClientCapabilities(
            code_action=action, hover=types.HoverClientCapabilities(content_format=[types.MarkupKind.Markdown])
        ),
        workspace=types.WorkspaceClientCapabilities(
            apply_edit=True,
            workspace_edit=types.WorkspaceEditClientCapabilities(document_changes=versioned),
            configuration=configuration,
        ),
        window=types.WindowClientCapabilities(work_done_progress=progress),
        general=types.GeneralClientCapabilities(position_encodings=list(encodings) if encodings else None),
        experimental={"lacunaStatus": True} if status else None,
    )


def _converter() -> cattrs.Converter:
    """lsprotocol takes each answer with a `command` for a bare Command, though a CodeAction may carry one too."""
    converter: cattrs.Converter = default_converter()  # type: ignore[no-untyped-call]

    def structure(value: Any, kind: object) -> types.Command | types.CodeAction:
        if isinstance(value.get("command"), str):
            return converter.structure(value, types.Command)
        return converter.structure(value, types.CodeAction)

    converter.register_structure_hook(Union[types.Command, types.CodeAction], structure)  # noqa: UP007  # the very type that lsprotocol names
    return converter


def index_of(text: str, position: types.Position, unit: str) -> int:
    """Index into `text` of a position that must exist in it: no clamping here, so that a wrong position fails a test."""
    starts = [0, *(match.end() for match in re.finditer(r"\r\n|\n|\r", text))]
    codec, width = _WIDTHS[unit]
    line = re.split(r"\r\n|\n|\r", text[starts[position.line] :], maxsplit=1)[0]
    data = line.encode(codec)
    assert position.character * width <= len(data), f"{position} is past the end of {line!r}"
    return starts[position.line] + len(data[: position.character * width].decode(codec))


def position_of(text: str, index: int, unit: str) -> types.Position:
    """The inverse of `index_of`."""
    lines = re.split(r"\r\n|\n|\r", text[:index])
    codec, width = _WIDTHS[unit]
    return types.Position(len(lines) - 1, len(lines[-1].encode(codec)) // width)


@dataclass
class EditorDocument:
    """One open text."""

    uri: str
    text: str
    version: int = 1


@dataclass
class Editor:
    """The client and its state. `heard` holds (method, params) of all that the server sent, in order of arrival."""

    client: LanguageClient
    unit: str = "utf-16"
    heard: list[tuple[str, Any]] = field(default_factory=list)
    documents: dict[str, EditorDocument] = field(default_factory=dict)
    server: types.InitializeResult | None = None
    settings: Mapping[str, Any] | None = None
    pick: Callable[[Sequence[types.MessageActionItem]], types.MessageActionItem | None] = lambda items: None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def listen(self) -> None:
        """Answer and remember what a server may send."""

        @self.client.feature(types.WINDOW_LOG_MESSAGE)
        def log_message(params: types.LogMessageParams) -> None:
            self._hear(types.WINDOW_LOG_MESSAGE, params)

        @self.client.feature(types.WINDOW_SHOW_MESSAGE)
        def show_message(params: types.ShowMessageParams) -> None:
            self._hear(types.WINDOW_SHOW_MESSAGE, params)

        @self.client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def publish_diagnostics(params: types.PublishDiagnosticsParams) -> None:
            self._hear(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS, params)

        @self.client.feature(STATUS)
        def status(params: Any) -> None:
            given = params._asdict()
            self._hear(STATUS, Status(**{each.name: given.get(camel_case(each.name)) for each in fields(Status)}))

        @self.client.feature(types.PROGRESS)
        def progress(params: types.ProgressParams) -> None:
            self._hear(types.PROGRESS, params)

        @self.client.feature(types.WINDOW_WORK_DONE_PROGRESS_CREATE)
        def create_progress(params: types.WorkDoneProgressCreateParams) -> None:
            self._hear(types.WINDOW_WORK_DONE_PROGRESS_CREATE, params)

        @self.client.feature(types.WORKSPACE_APPLY_EDIT)
        def apply_edit(params: types.ApplyWorkspaceEditParams) -> types.ApplyWorkspaceEditResult:
            self._hear(types.WORKSPACE_APPLY_EDIT, params)
            self.apply(params.edit)
            return types.ApplyWorkspaceEditResult(applied=True)

        @self.client.feature(types.WINDOW_SHOW_MESSAGE_REQUEST)
        def ask(params: types.ShowMessageRequestParams) -> types.MessageActionItem | None:
            self._hear(types.WINDOW_SHOW_MESSAGE_REQUEST, params)
            return self.pick(params.actions or [])

        @self.client.feature(types.WORKSPACE_CONFIGURATION)
        def configuration(params: types.ConfigurationParams) -> list[Any]:
            self._hear(types.WORKSPACE_CONFIGURATION, params)
            return [self.settings for _ in params.items]

    def _hear(self, method: str, params: Any) -> None:
        self.heard.append((method, params))
        self._news.set()

    async def until(self, method: str, test: Callable[[Any], bool] = lambda params: True) -> Any:
        """The params of the first message of a method that passes the test, past or still to come."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for heard, params in self.heard:
                    if heard == method and test(params):
                        return params
                self._news.clear()
                await self._news.wait()

    async def until_ready(self) -> None:
        """Wait for the model, which is loaded once a document is open."""
        if not self.documents:
            self.open("", uri="untitled:any")
        await self.until(types.WINDOW_LOG_MESSAGE, lambda params: "is ready" in params.message)

    async def until_running(self) -> Any:
        """Wait until a fill shows that it has made a pass; gives its progress token."""

        def is_report_of_fill(params: Any) -> bool:
            return bool(params.value["kind"] == "report" and "passes" in params.value["message"])

        return (await self.until(types.PROGRESS, is_report_of_fill)).token

    def messages(self) -> list[str]:
        """All sentences that were shown to the user."""
        return [params.message for method, params in self.heard if method == types.WINDOW_SHOW_MESSAGE]

    def open(self, text: str, uri: str = "file:///project/sample.py", language: str = "python") -> EditorDocument:
        """Open a text, and tell the server."""
        document = self.documents[uri] = EditorDocument(uri, text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(types.TextDocumentItem(uri, language, document.version, text)))
        return document

    def edit(self, document: EditorDocument, start: int, end: int, text: str) -> None:
        """Replace the characters `start` to `end`, and tell the server as an incremental change."""
        range_ = types.Range(position_of(document.text, start, self.unit), position_of(document.text, end, self.unit))
        document.text = document.text[:start] + text + document.text[end:]
        document.version += 1
        identifier = types.VersionedTextDocumentIdentifier(version=document.version, uri=document.uri)
        change = types.TextDocumentContentChangePartial(range_, text)
        self.client.text_document_did_change(types.DidChangeTextDocumentParams(identifier, [change]))

    def close(self, document: EditorDocument) -> None:
        """Close a text, and tell the server."""
        del self.documents[document.uri]
        self.client.text_document_did_close(types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(document.uri)))

    def apply(self, edit: types.WorkspaceEdit) -> None:
        """Make an edit as an editor does: the version must be right, edits may not overlap; the server hears of the change."""
        for uri, edits in (edit.changes or {}).items():
            self._apply_to(self.documents[uri], edits)
        for change in edit.document_changes or []:
            assert isinstance(change, types.TextDocumentEdit)
            document = self.documents[change.text_document.uri]
            assert change.text_document.version == document.version, "an edit of another version must not be applied"
            plain = [one for one in change.edits if isinstance(one, types.TextEdit)]
            assert len(plain) == len(change.edits)
            self._apply_to(document, plain)

    def _apply_to(self, document: EditorDocument, edits: Sequence[types.TextEdit]) -> None:
        places = [
            (index_of(document.text, one.range.start, self.unit), index_of(document.text, one.range.end, self.unit), one.new_text)
            for one in edits
        ]
        places.sort()
        assert all(before[1] <= after[0] for before, after in pairwise(places)), "edits overlap"
        for start, end, text in reversed(places):
            self.edit(document, start, end, text)

    async def actions(
        self,
        document: EditorDocument,
        start: int,
        end: int | None = None,
        *,
        only: Sequence[str] | None = None,
        trigger: types.CodeActionTriggerKind = types.CodeActionTriggerKind.Invoked,
    ) -> list[types.CodeAction | types.Command]:
        """The code actions for the characters `start` to `end` (None: a bare cursor)."""
        last = start if end is None else end
        range_ = types.Range(position_of(document.text, start, self.unit), position_of(document.text, last, self.unit))
        context = types.CodeActionContext(diagnostics=[], only=list(only) if only else None, trigger_kind=trigger)
        identifier = types.TextDocumentIdentifier(document.uri)
        return list(await self.client.text_document_code_action_async(types.CodeActionParams(identifier, range_, context)) or [])

    async def action(self, document: EditorDocument, title: str, start: int, end: int | None = None) -> types.CodeAction:
        """The one listed action whose title starts so."""
        found = [action for action in await self.actions(document, start, end) if action.title.startswith(title)]
        assert len(found) >= 1, f"no action {title!r}"
        assert isinstance(found[0], types.CodeAction)
        return found[0]

    async def resolve(self, action: types.CodeAction) -> types.CodeAction:
        """Ask for a listed action's edit."""
        async with asyncio.timeout(PATIENCE):
            return await self.client.code_action_resolve_async(action)

    async def execute(self, command: types.Command | None, token: str | None = None) -> None:
        """Run a command that the server offered."""
        assert command is not None
        params = types.ExecuteCommandParams(command.command, command.arguments, work_done_token=token)
        async with asyncio.timeout(PATIENCE):
            await self.client.workspace_execute_command_async(params)

    async def hover(self, document: EditorDocument, index: int) -> types.Hover | None:
        """What is said of the character at `index`."""
        params = types.HoverParams(types.TextDocumentIdentifier(document.uri), position_of(document.text, index, self.unit))
        async with asyncio.timeout(PATIENCE):
            return await self.client.text_document_hover_async(params)

    def cancel(self) -> None:
        """Cancel the newest request that has no answer yet."""
        (*_, newest) = self.client.protocol._request_futures
        self.client.cancel_request(types.CancelParams(newest))


@asynccontextmanager
async def editor(
    *arguments: str,
    abilities: types.ClientCapabilities | None = None,
    settings: Mapping[str, Any] | None = None,
    folder: Path | None = None,
    workspace: Sequence[Path] = (),
    tcp: tuple[str, int] | None = None,
) -> AsyncIterator[Editor]:
    """An editor that has started `lacuna-lsp` with `arguments` in `folder`, or found it at `tcp`, and has the folders of `workspace` open.

    `settings` go along as initialization options, with a seed where they name none. At the end the server must shut down
    properly, exit with 0 and leave no traceback on stderr.
    """
    # What is drawn must not hang on luck.
    settings = {"seed": 1, **(settings or {})}
    client = LanguageClient("headless", "1", converter_factory=_converter)
    this = Editor(client, settings=settings)
    this.listen()
    if tcp is None:
        await client.start_io(SERVER, *arguments, cwd=folder)
    else:
        await client.start_tcp(*tcp)
    process = client._server
    complaints = asyncio.create_task(process.stderr.read()) if process is not None and process.stderr is not None else None
    folders = [types.WorkspaceFolder(path.as_uri(), path.name) for path in workspace]
    params = types.InitializeParams(abilities or capabilities(), initialization_options=settings, workspace_folders=folders or None)
    async with asyncio.timeout(PATIENCE):
        this.server = await client.initialize_async(params)
        this.unit = str(getattr(this.server.capabilities.position_encoding, "value", this.server.capabilities.position_encoding))
        this._hear(types.INITIALIZE, this.server)
        client.initialized(types.InitializedParams())
    yield this
    async with asyncio.timeout(PATIENCE):
        await client.shutdown_async(None)
        client.exit(None)
        if process is not None and complaints is not None:
            assert await process.wait() == 0
            assert b"Traceback" not in (log := await complaints), log.decode()
