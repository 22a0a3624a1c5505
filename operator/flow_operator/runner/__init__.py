"""The programs in a flow's pod: run it, check it, call its callbacks. No kopf, no kubernetes."""
