"""What the Flex Web Service answers, version 3: a reference, a refusal with a code, or the document.

Codes: IBKR API documentation, "Flex Web Service", "Error Codes".
"""

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from xml.parsers import expat

MAX_BYTES = 64 * 1024 * 1024
"""A statement of a year of a busy account is some megabytes; more than this is read by nobody here."""
GENERATING = 1019
TOO_MANY_REQUESTS = 1018
BAD_REFERENCE = 1017
TRY_AGAIN = frozenset({1001, 1004, 1005, 1006, 1007, 1008, 1009, TOO_MANY_REQUESTS, GENERATING, 1021})
"""The codes whose text says to try again shortly. Every other one is for a person."""
_PORTAL = "in Client Portal under Performance & Reports, Flex Queries, Flex Web Service Configuration"
_WHAT_TO_DO = {
    1003: "ask for days that are over, of an account that existed then",
    1010: "make an Activity Flex Query anew",
    1011: f"activate the service {_PORTAL}",
    1012: f"make a new token {_PORTAL} and set OMS_FLEX_TOKEN",
    1013: f"allow this machine's address for the token {_PORTAL}",
    1014: "set OMS_FLEX_QUERY_ID to the id of an Activity Flex Query of the same user",
    1015: f"take the current token {_PORTAL} and set OMS_FLEX_TOKEN",
    1020: "check OMS_FLEX_URL, OMS_FLEX_TOKEN and OMS_FLEX_QUERY_ID",
    1025: "wait: the service refuses this token for a time after too many failures; then check token and query",
}


class FlexError(Exception):
    """There is no statement. The message never holds the token."""


class FlexBusy(FlexError):
    """Not now: the same request may succeed later. `code` is 0 where the service did not answer at all."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class FlexRefused(FlexError):
    """The service will not give it however often it is asked; a person has to change something."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class FlexUnreadable(FlexError):
    """What came is no answer of the service, or no statement that can be compared."""


@dataclass(frozen=True)
class Document:
    """A FlexQueryResponse: `data` as it came, `root` its parsed form."""

    data: bytes
    root: ET.Element


def reference_of(data: bytes) -> str:
    """The reference code of a SendRequest that was taken. Raises FlexBusy, FlexRefused, FlexUnreadable."""
    root = parsed(data)
    _no_refusal(root)
    reference = (root.findtext("ReferenceCode") or "").strip()
    if root.tag != "FlexStatementResponse" or not reference:
        raise FlexUnreadable(f"the Flex service answered a request with <{root.tag}> and no reference code")
    return reference


def document_of(data: bytes) -> Document:
    """The statement of a GetStatement. Raises FlexBusy, FlexRefused, FlexUnreadable."""
    root = parsed(data)
    _no_refusal(root)
    if root.tag != "FlexQueryResponse":
        raise FlexUnreadable(f"the Flex service answered with <{root.tag}>, which is no statement")
    return Document(data, root)


def parsed(data: bytes) -> ET.Element:
    """The document's root. Raises FlexUnreadable: too long, not XML, or with declarations of its own.

    No external entity is ever read (expat asks nobody), and a document type, the only place where entities that
    grow can be declared, is refused before anything is built.
    """
    if len(data) > MAX_BYTES:
        raise FlexUnreadable(f"the Flex service sent more than {MAX_BYTES} bytes")
    guard = expat.ParserCreate()
    guard.StartDoctypeDeclHandler = _refuse_doctype
    try:
        guard.Parse(data, True)
        return ET.fromstring(data)  # noqa: S314 - what makes it unsafe is refused in the line before
    except (expat.ExpatError, ET.ParseError, ValueError, LookupError) as error:
        raise FlexUnreadable(f"the Flex service sent no XML that can be read: {error}") from None


def _refuse_doctype(*_: object) -> None:
    raise FlexUnreadable("the Flex service sent a document type declaration, which a statement never has")


def _no_refusal(root: ET.Element) -> None:
    """Raise what an answer with an error code means. Its Status is Fail, or Warn while the statement is made."""
    text = (root.findtext("ErrorCode") or "").strip()
    if root.tag != "FlexStatementResponse" or not text:
        return
    code = int(text) if text.isdecimal() else 0
    told = f"the Flex service said {text}: {(root.findtext('ErrorMessage') or '').strip()}"
    if code in TRY_AGAIN:
        raise FlexBusy(told, code)
    advice = _WHAT_TO_DO.get(code)
    raise FlexRefused(f"{told} ({advice})" if advice else told, code)
