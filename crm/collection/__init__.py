"""Terminal information: reports become observations with provenance, observations become figures."""
