"""XLNet's tokenizer: the same tokens as transformers', and white space of code as the published checkpoint has it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, XLNetTokenizer

from engine.errors import LacunaError
from engine.manifest import FileEntry, sha256_of
from engine.sentencepiece_text import SentencePieceText
from export.sentencepiece_model import load_sentencepiece
from export.xlnet_tokenizer import load_tokenizer
from tests.export.xlnet_folder import CODE, PIECES, train_pieces

SPECIAL = ("<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>")
# As the published checkpoint's evaluation rewrites code before it is tokenised, in this order.
PUBLISHED = {"\n": "<cls>", "\t": "<sep>", "  ": "<unk>", "   ": "<pad>"}


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pieces") / "spiece.model"
    train_pieces(path)
    return path


@pytest.fixture(scope="module")
def theirs(pieces: Path) -> Any:
    model = load_sentencepiece(pieces)
    return XLNetTokenizer(vocab=list(model.pieces), unk_id=0, _spm_precompiled_charsmap=model.charsmap)


def text_of(path: Path, folder: Path, *, code_whitespace: bool, vocabulary: int = PIECES) -> SentencePieceText:
    tokenizer = load_tokenizer(path, vocabulary, code_whitespace=code_whitespace)
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(tokenizer.json, encoding="utf-8")
    entry = FileEntry("tokenizer.json", sha256_of(folder / "tokenizer.json"))
    manifest: Any = SimpleNamespace(tokenizer=entry, vocabulary=vocabulary, special_ids=SimpleNamespace(eoh=-1))
    return SentencePieceText(folder, manifest)


@pytest.fixture(scope="module")
def code(pieces: Path) -> SentencePieceText:
    return text_of(pieces, pieces.parent / "code", code_whitespace=True)


@pytest.fixture(scope="module")
def prose(pieces: Path) -> SentencePieceText:
    return text_of(pieces, pieces.parent / "prose", code_whitespace=False)


def rewritten(text: str) -> str:
    for space, name in PUBLISHED.items():
        text = text.replace(space, name)
    return text


LINES = st.text(alphabet="defclass Shape().:=\"-'`\n\t  éﬁ", max_size=40)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(text=LINES)
def test_code_becomes_the_tokens_of_the_published_checkpoint(text: str, code: SentencePieceText, theirs: Any) -> None:
    assert code.encode(text) == theirs.encode(rewritten(text), add_special_tokens=False)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(text=LINES)
def test_prose_becomes_transformers_tokens(text: str, prose: SentencePieceText, theirs: Any) -> None:
    assert prose.encode(text) == theirs.encode(text, add_special_tokens=False)


def test_a_spiece_model_is_read_as_sentencepiece_reads_it(pieces: Path) -> None:
    wanted = sentencepiece.SentencePieceProcessor(model_file=str(pieces))
    found = load_sentencepiece(pieces)
    assert [piece for piece, _ in found.pieces] == [wanted.id_to_piece(index) for index in range(PIECES)]
    assert [score for _, score in found.pieces] == [wanted.get_score(index) for index in range(PIECES)]
    assert found.charsmap in pieces.read_bytes() and len(found.charsmap) > 1000


def test_code_comes_back_unchanged(code: SentencePieceText) -> None:
    assert code.decode(code.encode(CODE)) == CODE


def test_prose_loses_its_lines(prose: SentencePieceText) -> None:
    assert prose.decode(prose.encode("class Shape:\n    def area(self):")) == "class Shape: def area(self):"


@pytest.mark.parametrize(
    ("text", "back"),
    [("x = ''", 'x = "'), ("café", "cafe"), ("a   b", "a  b"), ("a \n", "a\n"), ("a\r\n", "a\n"), ("a(世", "a(  ")],
)
def test_what_does_not_come_back_is_what_the_model_says(text: str, back: str, code: SentencePieceText) -> None:
    """The manifest's sentence names each of these."""
    assert code.decode(code.encode(text)) == back


@pytest.mark.parametrize("name", SPECIAL)
def test_no_special_token_comes_from_typing_its_name(name: str, code: SentencePieceText, prose: SentencePieceText, pieces: Path) -> None:
    for text, mapped in ((code, True), (prose, False)):
        barred = load_tokenizer(pieces, PIECES, code_whitespace=mapped).barred
        assert not set(text.encode(f"a {name} b{name}", going_on=mapped)) & set(barred)
        assert set(barred) == {SPECIAL.index(each) for each in SPECIAL if not (mapped and each in ("<cls>", "<sep>", "<unk>"))}


def test_the_pieces_around_a_hole_make_up_the_tokens_of_the_whole(code: SentencePieceText) -> None:
    text = "def area(self):\n    return area(self.width, self.height)\n"
    for cut in range(1, len(text)):
        before, after = text[:cut], text[cut:]
        going_on = not before[-1].isspace()
        parts = code.encode(before) + code.encode(after, going_on=going_on)
        if before[-1:] + after[:1] != "  ":  # cut between two spaces, each of them is another token
            assert code.decode(parts) == text, (before, after)


def test_a_word_s_space_is_one_only_behind_other_text(code: SentencePieceText) -> None:
    word = code.encode("return")
    assert code.decode(word, before="x =") == " return"
    assert [code.decode(word, before=before) for before in ("", "x = ", "\n", "    ", "\t")] == ["return"] * 5
    assert code.decode(code.encode("\n    return")) == "\n    return"


def test_a_piece_in_the_middle_of_a_word_has_no_space(code: SentencePieceText) -> None:
    assert code.decode(code.encode("):\n    return", going_on=True), before="(self") == "):\n    return"
    assert code.encode("rea(self)", going_on=True) != code.encode("rea(self)")


def test_tokenizer_json_gives_the_same_tokens(theirs: Any, pieces: Path, code: SentencePieceText) -> None:
    folder = pieces.parent / "saved"
    theirs.save_pretrained(folder)
    other = text_of(folder / "tokenizer.json", pieces.parent / "other", code_whitespace=True)
    assert other.encode(CODE) == code.encode(CODE)


def test_added_words_stand_for_themselves_and_added_special_ones_do_not(theirs: Any, pieces: Path) -> None:
    folder = pieces.parent / "added"
    theirs.save_pretrained(folder)
    saved = AutoTokenizer.from_pretrained(folder)
    saved.add_tokens(["lacuna"])
    saved.add_special_tokens({"additional_special_tokens": ["<eop>", "<eod>", "<hole>"]})
    saved.save_pretrained(folder)
    tokenizer = load_tokenizer(folder / "tokenizer.json", PIECES + 2, code_whitespace=True)
    added = {each["content"]: each["id"] for each in json.loads(tokenizer.json)["added_tokens"]}
    text = text_of(folder / "tokenizer.json", pieces.parent / "words", code_whitespace=True, vocabulary=PIECES + 2)
    assert added["lacuna"] in text.encode("def lacuna(self)")
    assert text.decode([added["lacuna"]]) == "lacuna"
    assert added["<hole>"] in tokenizer.barred and added["lacuna"] not in tokenizer.barred
    assert added["<hole>"] not in text.encode("def <hole>(self)")


def test_a_tokenizer_of_another_model_is_refused(pieces: Path) -> None:
    with pytest.raises(LacunaError, match=r"200 entries, but the model's vocabulary is 300"):
        load_tokenizer(pieces, 300, code_whitespace=True)


@pytest.mark.parametrize("content", [b"", b"\x00\xff\xff", b"not a model", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x02\x12\x34", b"\x0f" * 9])
def test_a_file_that_is_no_sentencepiece_model_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "spiece.model"
    path.write_bytes(content)
    with pytest.raises(LacunaError, match="is not a sentencepiece model"):
        load_tokenizer(path, PIECES, code_whitespace=True)


def test_another_kind_of_tokenizer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(LacunaError, match="is not a tokenizer"):
        load_tokenizer(path, PIECES, code_whitespace=False)
    bpe = {"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}
    path.write_text(json.dumps(bpe), encoding="utf-8")
    with pytest.raises(LacunaError, match="is no Unigram tokenizer"):
        load_tokenizer(path, PIECES, code_whitespace=False)


def test_words_are_cut_as_a_tokenizer_json_says(theirs: Any, tmp_path: Path, code: SentencePieceText) -> None:
    theirs.save_pretrained(tmp_path)
    raw = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    raw["pre_tokenizer"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(raw), encoding="utf-8")
    other = text_of(path, tmp_path / "out", code_whitespace=True)
    assert (other.decode(other.encode("a \n")), code.decode(code.encode("a \n"))) == ("a \n", "a\n")
    raw["pre_tokenizer"] = {"type": "WhitespaceSplit"}
    path.write_text(json.dumps(raw), encoding="utf-8")
    with pytest.raises(LacunaError, match="doesn't mark the spaces of words"):
        load_tokenizer(path, PIECES, code_whitespace=True)


def test_a_vocabulary_without_the_marks_of_white_space_is_refused(theirs: Any, tmp_path: Path) -> None:
    theirs.save_pretrained(tmp_path)
    raw = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    raw["model"]["vocab"][4][0] = "other"
    (tmp_path / "tokenizer.json").write_text(json.dumps(raw), encoding="utf-8")
    with pytest.raises(LacunaError, match="has no <sep>"):
        load_tokenizer(tmp_path / "tokenizer.json", PIECES, code_whitespace=True)
