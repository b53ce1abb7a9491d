"""What networks find in a photograph: the mesh of a face, and the matte of a person."""
