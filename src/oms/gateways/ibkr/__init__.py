"""The live session with one IB Gateway or TWS, over ib_async. Nothing else in the project imports ib_async."""

from oms.gateways.ibkr.gateway import IBKRGateway
from oms.gateways.ibkr.settings import IBKRSettings

__all__ = ["IBKRGateway", "IBKRSettings"]
