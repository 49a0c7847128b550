"""The base of the hub: interaction log, parties and addresses, outbox, live events, accounts. Knows no channel."""
