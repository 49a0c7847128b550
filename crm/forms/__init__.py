"""Reading forms out of messages: plain functions from a text to what it says, with the place of every word."""
