"""The only room that talks to a live Dask scheduler: over its HTTP API, with short patience, and never in pickles."""
