"""
Language models behind GraphQL. `over_http`: queries, mutations, and subscriptions over server-sent events;
`over_websocket`: the same over a WebSocket. Both are described by the tables of `tables`, and read by `results`.

Sources: the GraphQL over HTTP draft (August 2026), the protocols of graphql-sse (August 2026) and of graphql-ws (July
2026), subscriptions-transport-ws for the legacy one, Apollo Server's documentation for its error codes.
"""
