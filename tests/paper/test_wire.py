from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.paper.wire import (
    LARGEST_FRAME,
    UNSET_DOUBLE,
    Fields,
    FrameReader,
    WireError,
    decimal_of,
    decimal_text,
    frame,
    integer_of,
    split_fields,
)

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


@given(st.lists(st.lists(TEXT, min_size=1), min_size=1, max_size=6), st.data())
def test_frames_survive_any_cut(messages: list[list[str]], data: st.DataObject) -> None:
    stream = b"".join(frame(fields) for fields in messages)
    reader = FrameReader()
    got: list[list[str]] = []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        got += [split_fields(payload) for payload in reader.feed(stream[:cut])]
        stream = stream[cut:]
    assert got == messages


@pytest.mark.parametrize("length", [0, LARGEST_FRAME + 1, 0xFFFFFFFF])
def test_impossible_length_is_refused_before_the_bytes_come(length: int) -> None:
    with pytest.raises(WireError):
        FrameReader().feed(length.to_bytes(4, "big"))


@pytest.mark.parametrize("payload", [b"", b"3", b"\xff\0", b"\0x"])
def test_unreadable_payload(payload: bytes) -> None:
    with pytest.raises(WireError):
        split_fields(payload)


def test_values_are_written_as_the_client_reads_them() -> None:
    payload = frame([1, True, False, None, Decimal("1E+2"), Decimal("0.10"), "x"])[4:]
    assert split_fields(payload) == ["1", "1", "0", "", "100", "0.1", "x"]


@given(st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**12), max_value=10**12))
def test_decimal_text_is_plain_and_exact(value: Decimal) -> None:
    text = decimal_text(value)
    assert Decimal(text) == value
    assert "E" not in text


@pytest.mark.parametrize("text", ["", UNSET_DOUBLE, "1.7976931348623157e+308", "2147483647"])
def test_unset_numbers(text: str) -> None:
    assert decimal_of(text) is None


@pytest.mark.parametrize("text", ["abc", "nan", "inf", "1,5"])
def test_numbers_that_are_none(text: str) -> None:
    with pytest.raises(WireError):
        decimal_of(text)


def test_reading_past_the_end() -> None:
    fields = Fields(["1", ""])
    assert fields.integer() == 1
    assert fields.integer(7) == 7
    with pytest.raises(WireError):
        fields.text()
    with pytest.raises(WireError):
        integer_of("1.0")
