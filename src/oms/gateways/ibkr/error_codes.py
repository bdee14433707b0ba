"""What each TWS error code means to an order and to the session, as data.

Source: TWS API, "Message Codes" (interactivebrokers.github.io/tws-api/message_codes.html), and what users of
the API report about codes that arrive on orders which are alive. ib_async's own table is not used: it ends
orders on codes that only inform.
"""

from enum import StrEnum


class Meaning(StrEnum):
    """What follows from a code.

    REJECTED: ends a new order that nobody acknowledged; on a live order it refuses a change only.
    CANCELED: the order is over. DUPLICATE: the id was seen before; look for the order, never send it again.
    NOT_CANCELABLE: the venue keeps the order as it is, finished or not: look what it is.
    NOT_FOUND: the venue knows no order with that id: look, and look again.
    INFORMATIONAL: changes nothing. SURFACED: nobody knows; show the text and look what the order is.
    CONNECTION_LOST: the broker cannot be reached from the gateway. CONNECTION_RESTORED: it can again;
    everything must be read anew. CLIENT_ID_TAKEN: another connection uses our client id.
    SOCKET_RESET: the gateway moves to another port or restarts: connect again.
    """

    REJECTED = "rejected"
    CANCELED = "canceled"
    DUPLICATE = "duplicate"
    NOT_CANCELABLE = "not cancelable"
    NOT_FOUND = "not found"
    INFORMATIONAL = "informational"
    SURFACED = "surfaced"
    CONNECTION_LOST = "connection lost"
    CONNECTION_RESTORED = "connection restored"
    CLIENT_ID_TAKEN = "client id taken"
    SOCKET_RESET = "socket reset"


_CODES: dict[Meaning, tuple[int, ...]] = {
    Meaning.DUPLICATE: (103, 104, 105),
    Meaning.CANCELED: (202,),
    Meaning.NOT_CANCELABLE: (161, 10148),
    Meaning.NOT_FOUND: (135, 10147),
    Meaning.CLIENT_ID_TAKEN: (326,),
    Meaning.CONNECTION_LOST: (1100,),
    Meaning.CONNECTION_RESTORED: (1101, 1102),
    Meaning.SOCKET_RESET: (1300,),
    Meaning.REJECTED: (
        *(106, 107, 109, 110, 111, 113, 114, 115, 116, 117, 118, 119, 120, 121, 122, 124, 125, 126),
        *(129, 131, 132, 133, 134, 136, 137, 140, 141, 144, 146, 147, 148, 151, 152, 153, 154, 155, 156, 157),
        *(158, 159, 160, 163, 164, 167, 168, 200, 201, 203, 312, 313, 314, 315, 320, 321, 323, 325, 327, 328),
        *(329, 335, 336, 337, 338, 339, 340, 341, 342, 343, 344, 345, 346, 347, 348, 349, 350, 351, 352, 353),
        *(355, 356, 357, 358, 359, 360, 361, 362, 363, 364, 367, 368, 369, 370, 371, 372, 373, 374, 375, 376),
        *(377, 378, 379, 380, 381, 382, 383, 384, 385, 386, 387, 388, 389, 391, 392, 393, 394, 395, 396, 397),
        *(398, 400, 401, 402, 403, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 419),
        *(422, 423, 424, 425, 426, 427, 428, 429, 430, 432, 433, 434, 435, 436, 437, 440, 441, 442, 443, 444),
        *(445, 447, 448, 460, 461, 478, 10005, 10006, 10052, 10066, 10067, 10268, 10149, 10289, 10293, 10311),
    ),
    Meaning.INFORMATIONAL: (
        *(165, 354, 366, 399, 404, 492, 10089, 10090, 10167, 10168, 10186, 10187, 10197, 10349),
        *range(2100, 2200),
    ),
}
_MEANING = {code: meaning for meaning, codes in _CODES.items() for code in codes}


def meaning(code: int) -> Meaning:
    """What `code` means. A code that is not in the table is SURFACED: never taken for a rejection."""
    return _MEANING.get(code, Meaning.SURFACED)


def ends_a_wait_for_text(code: int) -> bool:
    """Whether this error is the explanation that follows an orderStatus Inactive or Cancelled."""
    return meaning(code) in (Meaning.REJECTED, Meaning.CANCELED)
