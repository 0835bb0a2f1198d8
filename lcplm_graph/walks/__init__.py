"""Random walks over a protein graph and the token streams made of them."""
