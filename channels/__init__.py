"""The contact layer: one package a channel, none of which knows another."""
