"""Kernels: each operation has a plain reference and faster backends beside it."""
