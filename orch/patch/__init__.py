"""The patch formats of the Kubernetes API, on plain data. Pure: arguments never change, results may share parts."""
