"""The page of ``textgan ui``: a tab for each thing that the given runs can do, and the GAN lab."""
