"""The HTTP front: one module a resource, thin."""
