"""Telegram will live here: a bot, off unless it is configured. Nothing is built yet."""
