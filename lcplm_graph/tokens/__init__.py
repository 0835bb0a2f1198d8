"""From residues to token ids: vocabulary, packing, masking."""
