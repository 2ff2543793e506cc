"""How `lacuna-lsp` starts and ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from tests.lsp_server.language_client import SERVER, editor
from tests.lsp_server.sample_code import HOLE, ONE_HOLE


def run(*arguments: str, stdin: str = "", folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SERVER, *arguments], input=stdin, capture_output=True, text=True, timeout=60, check=False, cwd=folder)


async def test_initialize_is_answered_before_the_model_is_loaded() -> None:
    async with editor() as ed:
        await ed.until_ready()
        methods = [method for method, params in ed.heard if method in (types.INITIALIZE, types.WINDOW_LOG_MESSAGE)]
        assert methods.index(types.INITIALIZE) == 0
        logged = [params.message for method, params in ed.heard if method == types.WINDOW_LOG_MESSAGE]
        assert logged[0].startswith("loading the model") and "is ready" in logged[-1]


async def test_the_model_is_loaded_once_a_document_is_open() -> None:
    async with editor() as ed:
        # Whatever was to come at the start has come before this is answered.
        with pytest.raises(JsonRpcException):
            await ed.execute(types.Command("", "no.such.command"))
        assert not [params for method, params in ed.heard if method == types.WINDOW_LOG_MESSAGE and "loading" in params.message]
        ed.open("x = 1\n")
        await ed.until(types.WINDOW_LOG_MESSAGE, lambda params: "loading" in params.message)


async def test_it_tells_its_name_and_what_it_can_do() -> None:
    async with editor() as ed:
        assert ed.server is not None and ed.server.server_info is not None
        assert ed.server.server_info.name == "lacuna-lsp"
        able = ed.server.capabilities
        assert isinstance(able.text_document_sync, types.TextDocumentSyncOptions)
        assert able.text_document_sync.change == types.TextDocumentSyncKind.Incremental
        assert isinstance(able.code_action_provider, types.CodeActionOptions) and able.code_action_provider.resolve_provider
        assert able.hover_provider
        assert able.execute_command_provider is not None
        assert set(able.execute_command_provider.commands) == {"lacuna.fill", "lacuna.chooseFill"}


async def test_a_missing_model_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    async with editor("--model", str(tmp_path / "nowhere")) as ed:
        document = ed.open(ONE_HOLE)
        told = await ed.until(types.WINDOW_SHOW_MESSAGE)
        assert told.type == types.MessageType.Error and "nowhere" in told.message
        at = document.text.index(HOLE)
        action = await ed.action(document, "Fill this hole", at)
        for _ in range(2):
            with pytest.raises(JsonRpcException, match="nowhere") as refusal:
                await ed.resolve(action)
            assert refusal.value.code == types.LSPErrorCodes.RequestFailed
        assert await ed.hover(document, document.text.index("total")) is None


async def test_a_workspace_that_looks_like_lacuna_is_not_run(tmp_path: Path) -> None:
    for package in ("engine", "lsp_server", "pygls", "lsprotocol", "tree_sitter", "onnxruntime"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(f"open({str(tmp_path / 'was_run')!r}, 'w').close()\n")
    (tmp_path / "sitecustomize.py").write_text(f"open({str(tmp_path / 'was_run')!r}, 'w').close()\n")
    async with editor(folder=tmp_path) as ed:
        await ed.until_ready()
        document = ed.open(ONE_HOLE, uri=(tmp_path / "sample.py").as_uri())
        assert await ed.actions(document, document.text.index(HOLE))
    assert not (tmp_path / "was_run").exists()


def test_help_and_version() -> None:
    shown = run("--help")
    assert shown.returncode == 0 and "--tcp HOST:PORT" in shown.stdout
    assert run("--version").stdout.startswith("lacuna-lsp ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tcp", "nonsense"],
        ["--tcp", "localhost:"],
        ["--tcp", "localhost:99999"],
        ["--tcp", ":80"],
        ["--tcp", "127.0.0.1:0", "--stdio"],
        ["--log-level", "loud"],
        ["--tcp", "192.0.2.1:9"],
    ],
)
def test_bad_arguments_end_with_a_sentence_and_exit_code_2(arguments: list[str]) -> None:
    ended = run(*arguments)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert "lacuna-lsp: " in ended.stderr.splitlines()[-1]


def test_a_client_that_leaves_without_shutdown_is_reported_by_exit_code_1() -> None:
    left = run()
    assert (left.returncode, left.stdout) == (1, "")
    body = '{"jsonrpc":"2.0","method":"exit"}'
    assert run(stdin=f"Content-Length: {len(body)}\r\n\r\n{body}").returncode == 1


def test_the_editor_side_starts_without_numpy_and_onnxruntime() -> None:
    code = "import sys, lsp_server.server; print([name for name in ('numpy', 'onnxruntime', 'tokenizers', 'torch') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
