"""What a masked language model does without training: variants, contacts, and search."""
