"""What a gateway raises."""


class GatewayNotReady(Exception):
    """The session cannot be used now. By this call nothing has been sent; ask again later.

    `reason` is a sentence for a person: what the gateway is waiting for.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
