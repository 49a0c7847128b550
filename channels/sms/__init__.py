"""Text messages: providers' webhooks in, their sending interfaces out, and how a text is cut into segments."""
