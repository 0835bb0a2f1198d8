"""Encoders as producers of node features."""
