"""`quarry-conformance`: the kit for projects without Python, and for CI."""
