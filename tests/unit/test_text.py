"""Text as the stores see it."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bethink import text
from bethink.errors import BadTime, ContentTooLong, InvalidInput

NOW = datetime(2026, 5, 8, 12, 0, tzinfo=UTC)
#: Everything a string of Python can hold, halves of surrogate pairs too.
ANYTHING = st.text(st.characters())


class TestChecked:
    @pytest.mark.parametrize(
        ("bad", "message", "hint"),
        [
            ("a\x00b", "contains a NUL", "binary data"),
            ("a\ud800b", "half of a surrogate pair at character 1", "UTF-8"),
            ("", "is empty", "Say what should be remembered"),
            (" \n\t ", "is empty", "Say what should be remembered"),
        ],
    )
    def test_says_what_is_wrong(self, bad: str, message: str, hint: str) -> None:
        with pytest.raises(InvalidInput, match=message) as caught:
            text.checked_content(bad)
        assert hint in caught.value.hint

    def test_length_is_measured_in_bytes(self) -> None:
        assert text.checked_content("x" * text.MAX_CONTENT_BYTES)
        assert text.checked_content("é" * (text.MAX_CONTENT_BYTES // 2))
        for long in ("x" * (text.MAX_CONTENT_BYTES + 1), "é" * (text.MAX_CONTENT_BYTES // 2 + 1), "🦄" * 20_000):
            with pytest.raises(ContentTooLong, match="at most 65,536") as caught:
                text.checked_content(long)
            assert "split" in caught.value.hint

    @given(ANYTHING)
    def test_what_passes_is_normal_and_stays(self, given_text: str) -> None:
        try:
            clean = text.checked(given_text)
        except InvalidInput:
            assert "\x00" in given_text or any(0xD800 <= ord(c) <= 0xDFFF for c in given_text)
            return
        assert clean == unicodedata.normalize("NFC", clean) and clean == text.checked(clean)
        assert text.content_hash(given_text) == text.content_hash(clean)

    @given(ANYTHING)
    def test_mended_text_can_be_stored(self, given_text: str) -> None:
        mended = text.mended(given_text)
        mended.encode("utf-8")
        assert "\x00" not in mended
        if "\x00" not in given_text and not any(0xD800 <= ord(c) <= 0xDFFF for c in given_text):
            assert mended == given_text


class TestWords:
    def test_code_is_taken_whole_and_in_parts(self) -> None:
        assert {"parsehttpheader", "parse", "http", "header"} <= set(text.query_terms("parse_http_header"))
        assert {"bcpy", "abcpy", "a", "b", "c", "py"} <= set(text.query_terms("a/b_c.py")) | {"c"}
        assert {"http", "request", "parser", "httprequestparser"} <= set(text.query_terms("HTTPRequestParser"))
        assert {"v1263", "v1", "26", "3"} <= set(text.query_terms("v1.26.3"))
        assert set(text.query_terms("the my-app is")) == {"myapp", "app"}

    def test_scripts_without_spaces_are_taken_in_pairs(self) -> None:
        assert text.query_terms("東京都") == ["東京", "京都"]
        assert text.query_terms("水") == ["水"]
        assert set(text.grams("금요일")) == {"금", "요", "일", "금요", "요일"}

    def test_vowel_signs_stay_with_their_words(self) -> None:
        assert text.words("हिन्दी में தமிழ்") == ["हिन्दी", "में", "தமிழ்"]
        assert text.words("cafe\u0301") == ["cafe\u0301"]
        assert text.query_terms("cafe\u0301") == ["café"]

    def test_stop_words_go_unless_there_is_nothing_else(self) -> None:
        assert text.informative("what is the port of the server?") == ["port", "server"]
        assert text.informative("who are you") == ["who", "are", "you"]

    @given(ANYTHING)
    @example('"AND" OR NEAR(a, 3) * ^ : {x}')
    def test_terms_are_words_whatever_is_asked(self, question: str) -> None:
        terms = text.query_terms(question)
        assert len(terms) == len(set(terms))
        for term in terms:
            assert not set(term) & set("\"*^:(){}+-' \x00")
            term.encode("utf-8")

    @given(st.text(st.characters(categories=["L", "N", "P", "Z"]), max_size=300))
    def test_what_is_indexed_has_the_terms_of_the_content(self, content: str) -> None:
        content = unicodedata.normalize("NFC", content)
        indexed = set(text.words(content)) | set(text.extra_terms(content, "", NOW).split())
        assert set(text.query_terms(content)) <= indexed

    @pytest.mark.parametrize(
        "hostile",
        [
            "a" * 60_000 + "_",
            "A" * 60_000,
            "a_" * 30_000,
            "a/" * 30_000,
            "./" * 30_000,
            "中" * 20_000,
            "e\u0301" * 30_000,
            "aB" * 30_000,
            "-" * 60_000,
        ],
        ids=["letters", "capitals", "snake", "path", "dots", "han", "accents", "camel", "dashes"],
    )
    @pytest.mark.timeout(20)
    def test_long_runs_take_one_pass(self, hostile: str) -> None:
        text.extra_terms(hostile, "", NOW)
        text.query_terms(hostile)
        text.chunks(hostile)
        text.title(hostile)

    def test_the_day_in_words(self) -> None:
        assert text.date_words(NOW) == "2026-05-08 8 May 2026 Friday"


class TestPieces:
    @given(st.text(max_size=3000), st.integers(50, 400), st.integers(0, 40))
    def test_chunks_cover_the_text(self, long: str, size: int, overlap: int) -> None:
        pieces = text.chunks(long, size, overlap)
        assert all(0 < len(piece) <= size for piece in pieces)
        assert set("".join(pieces).split()) >= {word for word in long.split() if len(word) < 5} or not pieces
        joined = "".join("".join(pieces).split())
        assert all(character in joined for character in "".join(long.split()))

    def test_chunks_are_cut_at_paragraphs(self) -> None:
        assert text.chunks("a" * 60 + "\n\n" + "b" * 60, 100, 0) == ["a" * 60, "b" * 60]
        assert text.chunks("") == text.chunks("  ") == []

    @given(ANYTHING, st.integers(10, 100))
    def test_titles_are_one_short_line(self, content: str, width: int) -> None:
        title = text.title(content, width)
        assert len(title) <= width and "\n" not in title

    def test_titles(self) -> None:
        assert text.title("\n# Deploy rules\nmore") == "Deploy rules"
        assert text.title("one two three four", 12) == "one two…"

    @given(ANYTHING)
    def test_tokens_are_counted_roughly(self, content: str) -> None:
        assert 0 <= text.tokens(content) <= len(content)

    def test_tokens(self) -> None:
        assert text.tokens("") == 0 and text.tokens("four") == 1 and text.tokens("中文字") == 3


class TestTimes:
    @pytest.mark.parametrize(
        ("written", "meant"),
        [
            ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
            ("2026-01-31T12:00:00+01:00", datetime(2026, 1, 31, 11, tzinfo=UTC)),
            (" 2026-01-31 12:00 ", datetime(2026, 1, 31, 12, tzinfo=UTC)),
            ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
            ("30d", NOW - timedelta(days=30)),
            ("12H", NOW - timedelta(hours=12)),
            ("2w", NOW - timedelta(weeks=2)),
            ("6mo", NOW - timedelta(days=180)),
            ("0s", NOW),
        ],
    )
    def test_moments(self, written: str, meant: datetime) -> None:
        assert text.moment(written, NOW) == meant

    @pytest.mark.parametrize(
        "bad", ["", "yesterday", "2026-13-01", "30", "-5d", "1e9d", "99999999999y", "9999999y", "0001-01-01T00:00:00+23:59", "٣d\x00"]
    )
    def test_what_is_no_moment(self, bad: str) -> None:
        with pytest.raises(BadTime) as caught:
            text.moment(bad, NOW)
        assert caught.value.hint

    @given(ANYTHING)
    def test_any_other_text_is_a_clear_error(self, written: str) -> None:
        try:
            assert text.moment(written, NOW).tzinfo is not None
        except BadTime as error:
            assert error.message

    @pytest.mark.parametrize(
        ("age", "said"),
        [
            (timedelta(seconds=3), "just now"),
            (timedelta(minutes=1), "1 minute ago"),
            (timedelta(hours=5), "5 hours ago"),
            (timedelta(days=1), "1 day ago"),
            (timedelta(days=400), "1 year ago"),
            (-timedelta(days=1), "in the future"),
        ],
    )
    def test_ago(self, age: timedelta, said: str) -> None:
        assert text.ago(NOW - age, NOW) == said
