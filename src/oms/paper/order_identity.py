"""Orders that are told under an identity which is not the book's own.

The book knows an order by (client id, order id), once. Two kinds of orders break that at the socket, and stand in the
book under a negative client id, which no client can have: orders entered by hand in TWS (client id 0, order id 0, or a
negative one), and the second order that a modify in degraded state can leave under the same order id.
"""

from dataclasses import replace

from oms.paper.orders import Execution, OrderKey, PaperOrder

HAND = -1
"""Client id in the book of orders entered by hand and told as (0, 0); their order ids count up from 1."""
HAND_BOUND = -2
"""The same for those told as (0, -n): a listener with client id 0 was given the number."""
_TWINS = 1_000_000


def twin_client(key: OrderKey) -> int:
    """The client id in the book of the next order told under the same key as `key`."""
    return key[0] - _TWINS


def told_key(key: OrderKey) -> OrderKey:
    """(client id, order id) as a client is told them."""
    client_id, order_id = key
    if client_id >= 0:
        return key
    if client_id == HAND:
        return 0, 0
    if client_id == HAND_BOUND:
        return 0, -order_id
    return client_id % _TWINS, order_id


def told_order(order: PaperOrder) -> PaperOrder:
    """The order under the ids a client is told."""
    if order.terms.client_id >= 0:
        return order
    client_id, order_id = told_key(order.key)
    return replace(order, terms=replace(order.terms, client_id=client_id, order_id=order_id))


def told_execution(execution: Execution) -> Execution:
    """The execution under the ids a client is told."""
    if execution.client_id >= 0:
        return execution
    client_id, order_id = told_key((execution.client_id, execution.order_id))
    return replace(execution, client_id=client_id, order_id=order_id)
