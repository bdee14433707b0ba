"""Statements of Interactive Brokers over its Flex Web Service, version 3."""

from oms.gateways.flex.answers import FlexBusy, FlexError, FlexRefused, FlexUnreadable
from oms.gateways.flex.client import FlexClient, FlexPace, FlexSettings
from oms.gateways.flex.reader import read_statements, source_of

__all__ = [
    "FlexBusy",
    "FlexClient",
    "FlexError",
    "FlexPace",
    "FlexRefused",
    "FlexSettings",
    "FlexUnreadable",
    "read_statements",
    "source_of",
]
