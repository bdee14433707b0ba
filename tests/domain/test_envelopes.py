"""Envelopes: what is signed, which change of them is noticed, and that the written vectors are what the code makes."""

import hmac
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.domain.errors import Code, Refused
from oms.domain.programs.envelopes import (
    SIGNED,
    CommandKind,
    Envelope,
    bare,
    canonical,
    digest,
    idem_key,
    judged,
    nonce_key,
    read,
    sign,
    text,
)
from oms.domain.programs.exact import read_exactly, written

PAGE = Path(__file__).resolve().parents[2] / "docs" / "commands.md"
SECRET = "a-secret-of-this-test"
NOW = 1_770_000_000_000
WINDOW = 300_000
NONCE = "AAECAwQFBgcICQoLDA0ODw"
PAYLOAD: dict[str, Any] = {"echo": "hello", "deep": {"price": Decimal("4800.250"), "list": [1, None, True]}}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def signed(**changed: Any) -> dict[str, Any]:
    """A good envelope as its fields came over the wire; `changed` after it was signed."""
    envelope = sign(CommandKind.PING, "nts", PAYLOAD, SECRET, nonce=NONCE, ts_ms=NOW, idem_key="oms:nts:a")
    return {**read(text(envelope)), **changed}


def refused(fields: Mapping[str, Any], *secrets: str, at: int = NOW) -> Code:
    with pytest.raises(Refused) as told:
        judged(fields, secrets or (SECRET,), at, WINDOW)
    assert SECRET not in told.value.message
    return told.value.code


# -- the canonical form -----------------------------------------------------------------------------


@given(JSON_VALUES)
def test_the_canonical_form_is_pythons_sorted_json(value: Any) -> None:
    assert written(value) == json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@given(JSON_VALUES)
def test_what_is_written_is_read_as_it_was(value: Any) -> None:
    assert read_exactly(written(value)) == value


@given(st.integers(0, 10**20), st.integers(0, 10**12), st.integers(1, 40))
def test_a_fraction_keeps_the_digits_it_was_written_with(whole: int, rest: int, places: int) -> None:
    digits = f"{whole}.{str(rest).zfill(places)[:places]}"
    assert written(read_exactly(digits)) == digits
    assert written(read_exactly(f"-{digits}")) == f"-{digits}"


def test_a_float_is_written_as_python_writes_it() -> None:
    assert written([0.1, 4800.25, -2.0]) == "[0.1,4800.25,-2.0]"


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        1e-7,
        1e22,
        Decimal("NaN"),
        Decimal("1E+5"),
        Decimal("1E-999999999"),
        {1: "a"},
        {"a": {1, 2}},
        b"bytes",
        "\ud800",
        {"\udfff": 1},
    ],
)
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(Refused) as told:
        written(value)
    assert told.value.code is Code.VALIDATION_FAILED


def test_what_is_nested_without_end_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(Refused):
        written(deep)
    with pytest.raises(Refused) as told:
        read_exactly("[" * 100_000 + "]" * 100_000)
    assert told.value.code is Code.MALFORMED


@pytest.mark.parametrize(
    ("given_text", "code"),
    [
        ("", Code.MALFORMED),
        ("{", Code.MALFORMED),
        (b"\xff", Code.MALFORMED),
        ("[1]", Code.MALFORMED),
        ('"text"', Code.MALFORMED),
        ('{"ts": NaN}', Code.MALFORMED),
        ('{"ts": Infinity}', Code.MALFORMED),
        ('{"ts": 1, "ts": 2}', Code.MALFORMED),
        ('{"payload": {"a": 1, "a": 2}}', Code.MALFORMED),
        ('{"ts": ' + "9" * 5000 + "}", Code.MALFORMED),
        ('{"ts": 1e3}', Code.VALIDATION_FAILED),
        ('{"payload": {"price": 1.5E-7}}', Code.VALIDATION_FAILED),
    ],
)
def test_a_text_that_is_no_envelope_is_refused(given_text: str | bytes, code: Code) -> None:
    with pytest.raises(Refused) as told:
        read(given_text)
    assert told.value.code is code


# -- signatures -------------------------------------------------------------------------------------


def test_a_good_envelope_is_taken_bare_and_wrapped_and_through_its_text() -> None:
    fields = signed()
    envelope = judged(fields, [SECRET], NOW, WINDOW)
    assert envelope.payload == PAYLOAD
    assert judged({"envelope": fields}, [SECRET], NOW, WINDOW) == envelope
    assert judged(read(written({"envelope": fields})), [SECRET], NOW, WINDOW) == envelope
    assert read(text(envelope)) == {name: fields[name] for name in sorted(fields)}


def test_beside_a_wrapped_envelope_nothing_may_stand() -> None:
    assert bare({"envelope": {"kind": "oms.ping"}}) == {"kind": "oms.ping"}
    assert refused({"envelope": signed(), "kind": "oms.flatten"}) is Code.VALIDATION_FAILED


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "oms.flatten"),
        ("tenant", "other"),
        ("payload", {**PAYLOAD, "echo": "hellp"}),
        ("payload", {**PAYLOAD, "more": None}),
        ("payload", {**PAYLOAD, "deep": {"price": Decimal("4800.25"), "list": [1, None, True]}}),
        ("payload", {**PAYLOAD, "deep": {"price": Decimal("4800.250"), "list": [None, 1, True]}}),
        ("payload", {}),
        ("ts", NOW + 1),
        ("nonce", "AAECAwQFBgcICQoLDA0OD1"),
        ("idem_key", "oms:nts:b"),
        ("idem_key", None),
        ("sig", None),
        ("sig", "0" * 64),
    ],
)
def test_every_altered_field_is_noticed(field: str, value: Any) -> None:
    assert refused(signed(**{field: value})) is Code.BAD_SIGNATURE


def test_every_single_digit_of_a_signature_counts() -> None:
    sig = signed()["sig"]
    for place, digit in enumerate(sig):
        other = "0" if digit != "0" else "1"
        assert refused(signed(sig=f"{sig[:place]}{other}{sig[place + 1 :]}")) is Code.BAD_SIGNATURE


def test_a_field_that_is_left_out_is_no_smaller_command() -> None:
    for name in SIGNED:
        fields = signed()
        del fields[name]
        expected = Code.BAD_SIGNATURE if name == "idem_key" else Code.VALIDATION_FAILED
        assert refused(fields) is expected


def test_an_absent_idem_key_is_signed_as_null() -> None:
    envelope = sign(CommandKind.PING, "nts", {}, SECRET, nonce=NONCE, ts_ms=NOW)
    fields = read(text(envelope))
    without = {name: value for name, value in fields.items() if name != "idem_key"}
    assert fields["idem_key"] is None
    assert judged(without, [SECRET], NOW, WINDOW) == envelope
    assert canonical(without) == canonical(fields)


def test_any_secret_of_the_list_is_taken_and_no_other() -> None:
    assert judged(signed(), ["newer", SECRET], NOW, WINDOW)
    assert judged(signed(), [SECRET, "older"], NOW, WINDOW)
    assert refused(signed(), "newer", "older") is Code.BAD_SIGNATURE
    assert refused(signed(), SECRET + " ") is Code.BAD_SIGNATURE


def test_without_a_secret_nothing_is_good_not_even_what_an_empty_one_signed() -> None:
    by_nobody = sign(CommandKind.PING, "nts", PAYLOAD, "", nonce=NONCE, ts_ms=NOW)
    for secrets in ((), ("",)):
        with pytest.raises(Refused) as told:
            judged(read(text(by_nobody)), secrets, NOW, WINDOW)
        assert told.value.code is Code.BAD_SIGNATURE


@pytest.mark.parametrize(("apart", "is_good"), [(0, True), (WINDOW, True), (WINDOW + 1, False)])
def test_an_envelope_is_good_for_its_window(apart: int, is_good: bool) -> None:
    for at in (NOW + apart, NOW - apart):
        if is_good:
            assert judged(signed(), [SECRET], at, WINDOW).ts == NOW
        else:
            assert refused(signed(), at=at) is Code.STALE_ENVELOPE


def test_an_old_envelope_with_a_wrong_signature_tells_only_that() -> None:
    assert refused(signed(sig="0" * 64), at=NOW + 10 * WINDOW) is Code.BAD_SIGNATURE


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "oms.steal"),
        ("kind", None),
        ("tenant", ""),
        ("tenant", "a/b"),
        ("payload", None),
        ("payload", []),
        ("ts", str(NOW)),
        ("ts", Decimal(f"{NOW}.0")),
        ("ts", True),
        ("ts", -1),
        ("ts", 10**14),
        ("nonce", "short"),
        ("nonce", "A" * 89),
        ("nonce", "AAECAwQFBgcICQ oLDA0ODw"),
        ("idem_key", ""),
        ("idem_key", "with space"),
        ("idem_key", "x" * 201),
        ("sig", "ABC"),
        ("sig", "A" * 64),
        ("colour", "blue"),
    ],
)
def test_an_ill_made_envelope_names_its_field(field: str, value: Any) -> None:
    with pytest.raises(Refused) as told:
        judged(signed(**{field: value}), [SECRET], NOW, WINDOW)
    assert told.value.code is Code.VALIDATION_FAILED
    assert told.value.facts["field"] == field


@given(st.dictionaries(st.text(max_size=8), JSON_VALUES, max_size=4), st.text(min_size=1, max_size=20))
def test_what_one_secret_signed_is_good_with_it_alone(payload: dict[str, Any], secret: str) -> None:
    envelope = sign(CommandKind.SUBMIT, "nts", payload, secret, nonce=NONCE, ts_ms=NOW)
    assert judged(read(text(envelope)), [secret], NOW, WINDOW) == envelope
    assert refused(read(text(envelope)), f"{secret}.") is Code.BAD_SIGNATURE


# -- names ------------------------------------------------------------------------------------------


def test_a_digest_tells_commands_apart_by_tenant_kind_and_every_digit() -> None:
    one = digest("nts", CommandKind.PING, PAYLOAD)
    assert one == digest("nts", "oms.ping", dict(reversed(PAYLOAD.items())))
    others = {
        digest("other", CommandKind.PING, PAYLOAD),
        digest("nts", CommandKind.FLATTEN, PAYLOAD),
        digest("nts", CommandKind.PING, {**PAYLOAD, "echo": ""}),
        digest("nts", CommandKind.PING, {**PAYLOAD, "deep": {"price": Decimal("4800.25"), "list": []}}),
    }
    assert len(others | {one}) == 5


def test_a_command_is_named_by_its_hint_or_by_what_it_says_and_when() -> None:
    of = digest("nts", CommandKind.PING, {})
    assert idem_key("nts", hint="mine", digest=of, message_id="1-2") == "oms:nts:mine"
    assert idem_key("nts", hint=None, digest=of, message_id="1-2") == f"oms:nts:{of[:32]}-1-2"
    assert nonce_key("nts", NONCE) == f"oms:nts:n-{NONCE}"


# -- the vectors of docs/commands.md ----------------------------------------------------------------


def vectors() -> list[dict[str, Any]]:
    block = re.search(r"<!-- vectors -->\n```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block is not None
    found: list[dict[str, Any]] = read_exactly(block[1])
    return found


def test_there_is_a_vector_for_every_kind() -> None:
    assert {one["envelope"]["kind"] for one in vectors()} == set(CommandKind)


@pytest.mark.parametrize("vector", vectors(), ids=lambda vector: vector["name"])
def test_a_written_vector_is_what_the_code_makes(vector: dict[str, Any]) -> None:
    fields, secret = vector["envelope"], vector["secret"]
    assert canonical(fields).decode() == vector["canonical"]
    assert fields["sig"] == hmac.new(secret.encode(), vector["canonical"].encode(), sha256).hexdigest()
    assert digest(fields["tenant"], fields["kind"], fields["payload"]) == vector["digest"]
    good = judged(fields, [secret], fields["ts"], 0)
    unsigned = {name: value for name, value in fields.items() if name not in ("sig", "ts")}
    assert sign(**unsigned, secret=secret, ts_ms=fields["ts"]) == good
    assert Envelope.model_validate(fields) == good


@pytest.mark.parametrize("vector", vectors(), ids=lambda vector: vector["name"])
def test_a_written_vector_is_what_pythons_json_makes_of_it(vector: dict[str, Any]) -> None:
    """But for a fraction's last zeros, which Python does not keep."""
    fields = json.loads(written(vector["envelope"]))
    del fields["sig"]
    made = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert made == re.sub(r"(\.\d*[1-9])0+", r"\1", vector["canonical"])
