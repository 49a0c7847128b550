"""The consumer forum will live here: its pages, moderation and topics as contacts. Nothing is built yet."""
