"""The transaction layer: blueprint, forms, processes and cases, customers, and the agents' desk."""
