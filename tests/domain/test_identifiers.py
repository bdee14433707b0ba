"""Identifiers say what they name, sort by time, and survive the trip to a broker."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.domain import identifiers as ids

MILLISECONDS = st.integers(0, 2**48 - 1)
ENTROPY = st.binary(min_size=10, max_size=10)


def test_the_layout_is_that_of_rfc_9562() -> None:
    """The test vector of RFC 9562, appendix A.6."""
    entropy = bytes.fromhex("0cc318c4dc0c0c07398f")
    assert ids.uuid7(0x017F22E279B0, entropy) == UUID("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")


@given(MILLISECONDS, ENTROPY)
def test_every_uuid_is_version_seven_of_its_millisecond(at: int, entropy: bytes) -> None:
    made = ids.uuid7(at, entropy)
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == at


@given(MILLISECONDS, MILLISECONDS, ENTROPY, ENTROPY)
def test_identifiers_sort_by_time(earlier: int, later: int, one: bytes, other: bytes) -> None:
    if earlier == later:
        return
    earlier, later = sorted((earlier, later))
    names = [
        ids.identifier(ids.ORDER, ids.uuid7(at, noise)) for at, noise in ((earlier, one), (later, other))
    ]
    assert names == sorted(names)


@given(st.uuids())
def test_a_placement_survives_the_trip_to_a_broker(uuid: UUID) -> None:
    placement_id = ids.identifier(ids.PLACEMENT, uuid)
    ref = ids.order_ref(placement_id)
    assert len(ref) == 32
    assert ref.isascii()
    assert ids.placement_of(ref) == placement_id
    assert ids.is_identifier(ids.PLACEMENT, placement_id)
    assert not ids.is_identifier(ids.ORDER, placement_id)


@pytest.mark.parametrize("foreign", ["", "manual", "0" * 31, "0" * 33, "G" * 32, "A" * 32, "0" * 32 + "\n"])
def test_a_reference_that_is_not_ours_is_nobodys(foreign: str) -> None:
    assert ids.placement_of(foreign) is None


@pytest.mark.parametrize("text", ["ORD-", "ORD-1", "x ORD-01936d8a-7c1e-7b2a-8f3d-4e5a6b7c8d9e"])
def test_what_only_looks_like_an_identifier_is_none(text: str) -> None:
    assert not ids.is_identifier(ids.ORDER, text)


def test_names_that_follow_from_an_order() -> None:
    order_id = "ORD-01936d8a-7c1e-7b2a-8f3d-4e5a6b7c8d9e"
    assert ids.workflow_id(order_id) == f"order/{order_id}"
    assert ids.instruction_id(order_id) == "SI-01936d8a-7c1e-7b2a-8f3d-4e5a6b7c8d9e"
