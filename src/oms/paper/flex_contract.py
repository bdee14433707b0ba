"""What callers of the paper Flex Web Service need to know: its path, its key, its codes."""

PATH = "/AccountManagement/FlexWebService"
PAPER_QUERY = "1"
PAPER_TOKEN = "paper"  # noqa: S105 - it opens nothing but the paper broker on this machine
ERRORS = {
    1001: "Statement could not be generated at this time. Please try again shortly.",
    1003: "Statement is not available.",
    1004: "Statement is incomplete at this time. Please try again shortly.",
    1009: "The server is under heavy load. Statement could not be generated at this time. Please try again shortly.",
    1012: "Token has expired.",
    1014: "Query is invalid.",
    1015: "Token is invalid.",
    1017: "Reference code is invalid.",
    1018: "Too many requests have been made from this token. Please try again shortly.",
    1019: "Statement generation in progress. Please try again shortly.",
    1020: "Invalid request or unable to validate request.",
    1021: "Statement could not be retrieved at this time. Please try again shortly.",
    1025: "Too many failed attempts. Please review your configuration.",
}
"""Code to text. Source: IBKR API documentation, "Flex Web Service", "Error Codes"."""
