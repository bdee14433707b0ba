"""The HTTP interface: authenticate, parse, start or update an order workflow, render. No business rule lives here.

`app.create_app` builds the application, `context.APIContext` is what it needs, `order_book.OrderBook` is the same
order book without HTTP, for every other surface.
"""
