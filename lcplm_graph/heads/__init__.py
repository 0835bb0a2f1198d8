"""Link-, function- and homology-prediction heads over PyG convolutions."""
