import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.storage.ingest.decode.worker.passages import split_text

TEXTS = st.text(alphabet="ab .。，\n你好x1!?", max_size=3000) | st.text(max_size=500)


@given(TEXTS)
@settings(deadline=None, max_examples=60)
def test_chunks_are_slices_in_order_that_leave_out_only_space(text: str) -> None:
    end, last = 0, -1
    for chunk in split_text(text, 16, 4):
        assert chunk.chars is not None
        start, chunk_end = chunk.chars
        assert text[start:chunk_end] == chunk.text
        assert start >= last
        assert start <= end or not text[end:start].strip()
        end, last = max(end, chunk_end), start
    assert not text[end:].strip()


def test_repeated_sentences_get_different_offsets() -> None:
    text = "The door is shut. " * 40
    chunks = list(split_text(text, 16, 0))
    spans = [chunk.chars or (-1, -1) for chunk in chunks]
    assert len({start for start, _ in spans}) == len(chunks)
    assert spans[-1][1] == len(text.rstrip())


@pytest.mark.parametrize(
    "sentence", ["The hole spacing is 90 mm. ", "孔距为九十毫米，适合该主板。"]
)
def test_chunks_end_where_sentences_end(sentence: str) -> None:
    for chunk in split_text(sentence * 50, 32, 0):
        assert chunk.text.endswith(sentence.strip()[-1])


def test_one_endless_word_is_cut() -> None:
    assert max(len(chunk.text) for chunk in split_text("a" * 100_000, 64, 8)) < 2000


@pytest.mark.timeout(60)  # once it took the square of the length: hours for these
@pytest.mark.parametrize("unit", ["!?", ". . .", "((", ".)", "中", "\n", "。”", "a!"])
def test_a_megabyte_of_punctuation_is_split_in_linear_time(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    chunks = list(split_text(text, 4096, 0))
    assert all(text[slice(*(chunk.chars or (0, 0)))] == chunk.text for chunk in chunks)
