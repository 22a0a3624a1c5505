"""The program on the laptop and in CI: build here, render or apply, and `kubectl flow`. Importing it loads nothing."""
