"""Usual texts of TWS error codes. Source: TWS API, message codes."""

_TEXTS = {
    103: "Duplicate order id",
    104: "Cannot modify a filled order.",
    110: "The price does not conform to the minimum price variation for this contract.",
    200: "No security definition has been found for the request",
    201: "Order rejected - reason:The broker does not accept this order.",
    202: "Order Canceled - reason:",
    326: "Unable to connect as the client id is already in use. Retry with a unique client id.",
    354: "Requested market data is not subscribed.",
    399: "Order Message:\nWarning: your order will not be placed at the exchange until it opens.",
    1100: "Connectivity between IBKR and Trader Workstation has been lost.",
    1101: "Connectivity between IBKR and Trader Workstation has been restored - data lost.",
    1102: "Connectivity between IBKR and Trader Workstation has been restored - data maintained.",
    2103: "Market data farm connection is broken:usfarm",
    2104: "Market data farm connection is OK:usfarm",
    2105: "HMDS data farm connection is broken:ushmds",
    2106: "HMDS data farm connection is OK:ushmds",
    2107: "HMDS data farm connection is inactive but should be available upon demand.ushmds",
    2108: "Market data farm connection is inactive but should be available upon demand.usfarm",
    2109: "Order Event Warning: Attribute 'Outside Regular Trading Hours' is ignored based on the order type.",
    2110: "Connectivity between Trader Workstation and server is broken. It will be restored automatically.",
    10147: "OrderId {order_id} that needs to be cancelled is not found.",
    10148: "OrderId {order_id} that needs to be cancelled can not be cancelled, state: PendingCancel.",
    10349: "Order TIF was set to DAY based on order preset.",
}


def text_of(code: int, order_id: int = 0) -> str:
    """What a gateway says with a code; a made-up text for one nobody knows."""
    return _TEXTS.get(code, f"Message {code} that no document describes.").format(order_id=order_id)
