"""One router per noun. A route authenticates, parses, asks and renders; every rule is the domain's."""
