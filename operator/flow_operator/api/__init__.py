"""The words of flow-operator: resources, conditions, labels and wire formats. Imports nothing of the other rooms."""
