"""The Gene Ontology: OBO files, the graph of terms, annotations, and labels made of them."""
