"""Every way a run can end, with every kind of callbacks: docs/callbacks-matrix.md."""
