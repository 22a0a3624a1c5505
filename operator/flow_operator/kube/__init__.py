"""The only room that imports kubernetes: the API, its errors, the Lease, and watches by name."""
