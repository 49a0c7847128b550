"""Mail will live here: mailboxes read over IMAP, answers sent over SMTP. Nothing is built yet."""
