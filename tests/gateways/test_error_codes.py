"""The code table: what a code means is data, and what is not in it is never a rejection."""

import pytest

from oms.gateways.ibkr.error_codes import Meaning, ends_a_wait_for_text, meaning


@pytest.mark.parametrize(
    ("code", "means"),
    [
        (103, Meaning.DUPLICATE),
        (110, Meaning.REJECTED),
        (200, Meaning.REJECTED),
        (201, Meaning.REJECTED),
        (203, Meaning.REJECTED),
        (320, Meaning.REJECTED),
        (321, Meaning.REJECTED),
        (435, Meaning.REJECTED),
        (10289, Meaning.REJECTED),
        (202, Meaning.CANCELED),
        (161, Meaning.NOT_CANCELABLE),
        (10148, Meaning.NOT_CANCELABLE),
        (10147, Meaning.NOT_FOUND),
        (135, Meaning.NOT_FOUND),
        (399, Meaning.INFORMATIONAL),
        (404, Meaning.INFORMATIONAL),
        (2109, Meaning.INFORMATIONAL),
        (10349, Meaning.INFORMATIONAL),
        (326, Meaning.CLIENT_ID_TAKEN),
        (1100, Meaning.CONNECTION_LOST),
        (1101, Meaning.CONNECTION_RESTORED),
        (1102, Meaning.CONNECTION_RESTORED),
        (1300, Meaning.SOCKET_RESET),
        (99999, Meaning.SURFACED),
    ],
)
def test_meanings(code: int, means: Meaning) -> None:
    assert meaning(code) is means


def test_all_of_2100_to_2199_only_inform() -> None:
    assert {meaning(code) for code in range(2100, 2200)} == {Meaning.INFORMATIONAL}


def test_only_what_ends_an_order_explains_its_end() -> None:
    assert [code for code in (103, 110, 201, 202, 399, 10147, 99999) if ends_a_wait_for_text(code)] == [
        110,
        201,
        202,
    ]
