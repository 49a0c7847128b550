"""The agents' desk: one conversation a party, its timeline, its cases, and what people do with them."""
