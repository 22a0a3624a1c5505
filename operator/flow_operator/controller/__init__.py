"""The program in the operator's pod: the only room that imports kopf."""
