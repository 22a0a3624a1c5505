"""Pure decisions: (spec, observed, now) -> children, status, when to look again. No client, no clock, no I/O."""
