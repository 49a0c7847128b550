"""The web process: webhooks, the browser's API, live sockets and pages."""
