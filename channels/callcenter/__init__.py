"""Telephone calls will live here: Asterisk and hosted telephony as steps of a call. Nothing is built yet."""
